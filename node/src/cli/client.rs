//! The command line's side of the REST interface.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use reqwest::{Body, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::Context;
use super::error::Error;
use crate::api::IDEMPOTENCY_KEY;
use crate::api::secret::Secret;
use crate::api::shapes::List;
use crate::api::shapes::problem::Problem;
use crate::api::tls::{Pin, Pinned};

/// How long a connection may take to come about.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long an answer may take: a little longer than a site lets a quick request take, so that it
/// is the site that says what was too slow.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// How long a long poll may be silent at the site.
const POLL_TIME: Duration = Duration::from_secs(30);

/// How often a request is sent again that the site could not answer, and the pause before. The
/// site knows a repetition by its number.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(300);

/// Speaks to one site.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    pinned: Arc<Pinned>,
    has_pin: bool,
    url: String,
    key: Secret,
}

impl Client {
    /// Speaks to the site of a context.
    ///
    /// # Errors
    ///
    /// If the context has a value that cannot be used.
    pub fn new(context: &Context) -> Result<Self, Error> {
        let pin: Pin = context
            .pin
            .parse()
            .map_err(|error| Error::Unusable { what: "pin", source: Box::new(error) })?;
        let key = context
            .key
            .parse()
            .map_err(|error| Error::Unusable { what: "key", source: Box::new(error) })?;
        Self::speaking(&context.url, key, Some(pin))
    }

    /// Speaks to a site; without a pin, only as far as to learn which certificate it shows.
    ///
    /// # Errors
    ///
    /// If the URL is none.
    pub fn speaking(url: &str, key: Secret, pin: Option<Pin>) -> Result<Self, Error> {
        let unusable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Argument {
            what: "URL",
            given: url.to_owned(),
            source,
        };
        let parsed = reqwest::Url::parse(url).map_err(|error| unusable(Box::new(error)))?;
        if parsed.scheme() != "https" || parsed.host_str().is_none() {
            return Err(unusable("it must begin with https:// and name a host".into()));
        }
        let pinned = Pinned::new(pin);
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(pinned.client())
            // The site is where the context says, and a key is not shown to anybody between.
            .no_proxy()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIME)
            .build()
            .map_err(|error| unusable(Box::new(error)))?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { http, pinned, has_pin: pin.is_some(), url, key })
    }

    /// The site's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What shows the site who asks.
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.key.expose())
    }

    /// The TLS side, for what is no plain request.
    #[must_use]
    pub const fn pinned(&self) -> &Arc<Pinned> {
        &self.pinned
    }

    /// Looks at something.
    ///
    /// # Errors
    ///
    /// If the site cannot be reached or refuses.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.asked(|| self.request(&Method::GET, path)).await
    }

    /// Looks at all things of a kind.
    ///
    /// # Errors
    ///
    /// If the site cannot be reached or refuses.
    pub async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Error> {
        self.get::<List<T>>(path).await.map(|list| list.items)
    }

    /// Looks at something once it is other than it was at `index`, or after a while.
    ///
    /// # Errors
    ///
    /// If the site cannot be reached or refuses.
    pub async fn poll<T: DeserializeOwned>(&self, path: &str, index: u64) -> Result<T, Error> {
        let seconds = POLL_TIME.as_secs();
        self.get(&format!("{path}?wait={index}&timeout={seconds}")).await
    }

    /// Asks for something that changes the site. It is asked again if the answer is lost, under
    /// the same number, so that it is done once.
    ///
    /// # Errors
    ///
    /// If the site cannot be reached or refuses.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Error> {
        let body = body.map(serde_json::to_vec).transpose()?;
        self.send(method, path, body.map(|bytes| ("application/json", bytes))).await
    }

    /// As [`ask`](Self::ask), with a body of any kind.
    ///
    /// # Errors
    ///
    /// If the site cannot be reached or refuses.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<T, Error> {
        let number = crate::chance::uuid().to_string();
        self.asked(|| {
            let request = self.request(&method, path).header(IDEMPOTENCY_KEY, number.as_str());
            match &body {
                Some((kind, bytes)) => request.header("content-type", *kind).body(bytes.clone()),
                None => request,
            }
        })
        .await
    }

    /// Sends a file, however long that takes.
    ///
    /// # Errors
    ///
    /// If the site cannot be reached or refuses.
    pub async fn upload<T: DeserializeOwned>(&self, path: &str, body: Body) -> Result<T, Error> {
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("authorization", self.authorization())
            .header("content-type", "application/octet-stream")
            .body(body);
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        self.read(response).await
    }

    fn request(&self, method: &Method, path: &str) -> RequestBuilder {
        self.http
            .request(method.clone(), format!("{}{path}", self.url))
            .header("authorization", self.authorization())
            .timeout(ANSWER_TIME + POLL_TIME)
    }

    /// Sends a request until it is answered, as long as it makes sense.
    async fn asked<T: DeserializeOwned>(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<T, Error> {
        let mut attempt = 1;
        loop {
            let answered = match request().send().await {
                Ok(response) => self.read(response).await,
                Err(error) => Err(self.unreachable(error)),
            };
            match answered {
                Err(error) if attempt < ATTEMPTS && may_pass(&error) => {
                    tracing::debug!(%error, attempt, "asking again");
                    tokio::time::sleep(PAUSE * attempt).await;
                    attempt += 1;
                }
                answered => return answered,
            }
        }
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, Error> {
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(error))?;
        let garbled = || Error::Garbled { url: self.url.clone(), status };
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| garbled());
        }
        let problem: Problem = serde_json::from_slice(&body).map_err(|_| garbled())?;
        Err(Error::Site { status, problem: Box::new(problem) })
    }

    /// What it means that no answer came.
    pub(super) fn unreachable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        let url = self.url.clone();
        match self.pinned.unexpected() {
            Some(shown) if self.has_pin => Error::OtherCertificate { url, shown },
            Some(shown) => Error::Unpinned { url, shown },
            None => Error::Unreachable { url, source: source.into() },
        }
    }
}

/// Whether the same request may be answered a moment later.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Site { status, .. } => *status == StatusCode::SERVICE_UNAVAILABLE,
        Error::Unreachable { .. } => true,
        _ => false,
    }
}
