//! `reservoir image`

use std::io;
use std::path::Path;

use axum::body::Bytes;
use axum::http::Method;
use futures::stream;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::arguments::{Image, Register};
use super::client::Client;
use super::error::Error;
use super::find::find;
use super::output::{Output, age, table};
use crate::api::shapes::image as shapes;
use crate::api::shapes::image::{Blob, Content};
use crate::api::shapes::{Moment, Taken};

/// What is read of a file at once.
const CHUNK: usize = 256 << 10;

pub(super) async fn run(
    verb: Image,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match verb {
        Image::Register(register) => {
            let name = register.name.clone();
            let content = send(register, client).await?;
            let new = shapes::New { name, content };
            let taken: Taken = client.ask(Method::POST, "/v1/images", Some(&new)).await?;
            output.say(&taken, |_| format!("image {} is registered as {}\n", new.name, taken.id))
        }
        Image::Ls => {
            let images: Vec<shapes::Image> = client.list("/v1/images").await?;
            output.say(&images, |now| listed(&images, now))
        }
        Image::Unregister { image } => {
            let image: shapes::Image = find(&client.list("/v1/images").await?, &image)?;
            let path = format!("/v1/images/{}", image.id);
            let taken: Taken = client.ask(Method::DELETE, &path, None::<&()>).await?;
            output.say(&taken, |_| format!("image {} is struck from the catalogue\n", image.name))
        }
    }
}

async fn send(register: Register, client: &Client) -> Result<Content, Error> {
    match register {
        Register { kernel: Some(kernel), initrd: Some(initrd), command_line, .. } => {
            let kernel = send_file(&kernel, client).await?;
            let initrd = send_file(&initrd, client).await?;
            Ok(Content::Kernel { kernel, initrd, command_line })
        }
        Register { disk: Some(disk), format: Some(format), size: Some(size), .. } => {
            let blob = send_file(&disk, client).await?;
            Ok(Content::Disk { blob, format: format.into(), size_mib: size.0 })
        }
        Register { .. } => Err(Error::Usage(
            "an image is --kernel and --initrd, or --disk with --format and --size",
        )),
    }
}

/// Sends a file. indicatif shows how far it is, if somebody looks.
async fn send_file(path: &Path, client: &Client) -> Result<Blob, Error> {
    let failed = |source: io::Error| Error::File { path: path.to_owned(), source };
    let file = File::open(path).await.map_err(failed)?;
    let length = file.metadata().await.map_err(failed)?.len();
    let bar = ProgressBar::new(length).with_message(path.display().to_string());
    let style = "{msg}  {bar:30}  {bytes}/{total_bytes}  {eta}";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is well-formed"));
    let shown = bar.clone();
    let chunks = stream::try_unfold((file, shown), |(mut file, shown)| async move {
        let mut chunk = vec![0; CHUNK];
        let read = file.read(&mut chunk).await?;
        chunk.truncate(read);
        shown.inc(u64::try_from(read).unwrap_or(0));
        let next = (read > 0).then(|| (Bytes::from(chunk), (file, shown)));
        Ok::<_, io::Error>(next)
    });
    let body = reqwest::Body::wrap_stream(chunks);
    let sent = client.upload("/v1/blobs", body).await;
    bar.finish_and_clear();
    sent
}

/// Images as people see them.
pub(super) fn listed(images: &[shapes::Image], now: Moment) -> String {
    table(
        &["NAME", "KIND", "BYTES", "CREATED", "AGE", "ID"],
        images.iter().map(|image| {
            let (kind, bytes) = match &image.content {
                Content::Disk { blob, format, .. } => {
                    (format!("disk ({format:?})").to_lowercase(), blob.length)
                }
                Content::Kernel { kernel, initrd, .. } => {
                    ("kernel".to_owned(), kernel.length.saturating_add(initrd.length))
                }
            };
            vec![
                image.name.clone(),
                kind,
                bytes.to_string(),
                image.created.to_string(),
                age(now, image.created),
                image.id.chars().take(12).collect(),
            ]
        }),
    )
}
