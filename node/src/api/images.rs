//! `/v1/images`: the catalogue of what machines start from.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use protocol::ids::ImageId;
use protocol::images::Image;
use protocol::manifest::ImageName;
use protocol::site::command::OperatorAsk;

use super::error::{Code, Error};
use super::gate::Server;
use super::propose::{self, Answer};
use super::shapes::List;
use super::shapes::image::{self as shapes, New};
use super::{input, list};

/// `RegisterImage`
pub(super) async fn register(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Error> {
    let request = input::request_id(&headers)?;
    let new: New = input::json(&headers, body).await?;
    let name: ImageName = new.name.parse().map_err(|error: protocol::manifest::NameError| {
        Error::new(Code::Malformed, error.to_string()).hint(error.hint())
    })?;
    let image = Image::try_from(new.content)
        .map_err(|error| Error::new(Code::Malformed, error.to_string()))?;
    for blob in image.blobs() {
        if !server.desk.blobs().holds(blob) {
            let message = format!("the file {} is not here", blob.id);
            return Err(Error::new(Code::MissingBlob, message)
                .hint("send it to /v1/blobs first, or let 'reservoir image register' do both"));
        }
    }
    propose::operator(&server, request, OperatorAsk::RegisterImage { name, image }, "").await
}

/// `ListImages`
pub(super) async fn list(State(server): State<Server>) -> Result<Json<List<shapes::Image>>, Error> {
    Ok(Json(
        list::list(&server.desk, |site| {
            let rows = site.images().map(|(id, row)| shapes::Image {
                id: id.to_string(),
                name: row.name.as_str().to_owned(),
                content: row.image.clone().into(),
                created: row.created.into(),
            });
            rows.collect()
        })
        .await?,
    ))
}

/// `UnregisterImage`
pub(super) async fn unregister(
    State(server): State<Server>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let image: ImageId = input::id(&id)?;
    let request = input::request_id(&headers)?;
    propose::operator(&server, request, OperatorAsk::UnregisterImage { image }, &id).await
}
