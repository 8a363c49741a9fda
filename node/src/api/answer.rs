//! Where every answer passes: the request gets its number, the log its line, and an error its body.

use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::Instrument as _;

use super::error::{Code, Error};

/// The header that carries a request's number.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Numbers a request, follows it, and gives its answer the shape that all answers have.
pub(super) async fn answer(request: Request, next: Next) -> Response {
    let id = crate::chance::uuid().to_string();
    // The pattern, not the path: ids in names of log lines would make each of them another one.
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let span = tracing::info_span!(
        "request",
        id,
        method = %request.method(),
        path = path.as_deref().unwrap_or("unknown"),
    );
    let begun = Instant::now();
    let answered = next.run(request).instrument(span.clone()).await;
    let mut response = with_problem(answered, &id);
    let status = response.status();
    span.in_scope(|| {
        tracing::debug!(status = status.as_u16(), elapsed = ?begun.elapsed(), "answered");
    });
    let value = HeaderValue::from_str(&id).expect("a UUID is made of visible characters");
    response.headers_mut().insert(REQUEST_ID, value);
    response
}

/// An error's body. What the framework refused by itself gets one too.
fn with_problem(mut response: Response, id: &str) -> Response {
    let error = match response.extensions_mut().remove::<Error>() {
        Some(error) => error,
        None if response.status().is_client_error() || response.status().is_server_error() => {
            of_framework(response.status())
        }
        None => return response,
    };
    let code = error.code();
    let mut told = (response.status(), Json(error.problem(id))).into_response();
    if let Some(allow) = response.headers_mut().remove(axum::http::header::ALLOW) {
        told.headers_mut().insert(axum::http::header::ALLOW, allow);
    }
    match code {
        Code::Unauthenticated => {
            let scheme = HeaderValue::from_static("Bearer");
            told.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, scheme);
        }
        Code::Busy | Code::NotLeader | Code::NotCurrent | Code::Uncertain => {
            let seconds = HeaderValue::from_static("1");
            told.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds);
        }
        _ => {}
    }
    told
}

fn of_framework(status: StatusCode) -> Error {
    let code = match status {
        StatusCode::NOT_FOUND => Code::NoSuchOperation,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::UPGRADE_REQUIRED => Code::UpgradeRequired,
        status if status.is_server_error() => Code::Internal,
        _ => Code::Malformed,
    };
    let said = status.canonical_reason().unwrap_or("the request was refused").to_lowercase();
    Error::new(code, said)
}
