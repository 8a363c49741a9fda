//! A node to make claims about, and a client that speaks to it as any program would.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use federation::fake::Network;
use federation::{Caller, Options};
use hypervisor::Capacity;
use hypervisor::fake::{Fake, Faults};
use protocol::units::Mebibytes;
use reservoir::api::tls::Pinned;
use reservoir::cli::context::Context;
use reservoir::config::{self, Config};
use reservoir::daemon::{self, Bus, Parts, RealBus, StartBus};
use reservoir::desk::Desk;
use reservoir::keys::Keys;
use reservoir::lease::Fencing;
use reservoir::membership::join;
use reservoir::membership::token::Token;
use reservoir::perform::Clerk;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A manifest that fits on the host.
pub(crate) const MANIFEST: &str = "\
service: shop
components:
  web:
    image: guest
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
    replicas: 2
";

const CONFIG: &str = r#"
[api]
listen = "127.0.0.1:0"
[bus]
listen = []
[host]
name = "alpha-1"
vcpus = 4
memory = "1GiB"
disk = "10GiB"
"#;

/// A bus in memory, on which this node has an address.
struct Wire {
    network: Network,
    address: String,
}

#[async_trait]
impl StartBus for Wire {
    async fn start(&self, options: Options, clerk: Clerk) -> Result<Bus, federation::Error> {
        let me = Caller { site: options.certificate.site(), node: options.key.public() };
        let peers = Arc::new(self.network.join(me, &self.address, Arc::new(clerk)));
        Ok(Bus { peers, listening: vec![self.address.clone()] })
    }

    async fn close(&self) {}
}

/// A node and its directory.
pub(crate) struct World {
    pub(crate) data: TempDir,
    pub(crate) context: Context,
    pub(crate) network: Network,
    pub(crate) me: Caller,
    pub(crate) fabric: Arc<fabric::networks::Fake>,
    running: daemon::Running,
    http: reqwest::Client,
}

impl World {
    /// Starts a node, and waits until its host takes machines.
    pub(crate) async fn start() -> Self {
        let (data, config) = place();
        let world = Self::run(data, config, Network::new(1), "").await;
        world
            .until("the host takes machines", async |world| {
                let (_, site) = world.get("/v1/site").await;
                site["inside"]["hosts"][0]["trouble"] == ""
            })
            .await;
        world
    }

    /// Starts another node of the same site, which joins by a new invitation.
    pub(crate) async fn joined(&self) -> Self {
        let (data, config) = place();
        let token = self.invite(&json!({})).await;
        join::join(&token, data.path(), &config, None).await.expect("it was invited");
        self.fellow(data, config).await
    }

    /// Starts a node that has joined.
    pub(crate) async fn fellow(&self, data: TempDir, config: Config) -> Self {
        Self::run(data, config, self.network.clone(), &self.context.key).await
    }

    /// Starts a node of the same site again, which has a key of its own.
    pub(crate) async fn again(&self, data: TempDir, config: Config) -> Self {
        Self::run(data, config, self.network.clone(), "").await
    }

    /// Invites one node.
    pub(crate) async fn invite(&self, how: &Value) -> Token {
        let (status, invited) = self.post("/v1/site/invitations", how).await;
        assert_eq!(status, StatusCode::CREATED, "{invited}");
        text(&invited["token"]).parse().expect("it is a token")
    }

    /// Starts a node on the real bus, of a new site or of one that it has joined.
    pub(crate) async fn on_bus(data: TempDir, mut config: Config, key: &str) -> Self {
        config.bus.listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
        config.bus.mdns = false;
        Self::run_on(Arc::new(RealBus::default()), data, config, Network::new(1), key).await
    }

    async fn run(data: TempDir, config: Config, network: Network, key: &str) -> Self {
        let keys = Keys::open_or_make(data.path(), Some("alpha")).expect("keys can be made");
        let bus = Wire { network: network.clone(), address: format!("node {}", keys.number()) };
        Self::run_on(Arc::new(bus), data, config, network, key).await
    }

    async fn run_on(
        bus: Arc<dyn StartBus>,
        data: TempDir,
        config: Config,
        network: Network,
        key: &str,
    ) -> Self {
        let keys = Keys::open_or_make(data.path(), Some("alpha")).expect("keys can be made");
        let me = Caller { site: keys.site(), node: keys.node().public() };
        let capacity = Capacity {
            vcpus: 4,
            memory: Mebibytes::from_gib(1),
            disk_free: Mebibytes::from_gib(10),
            version: "fake 1".to_owned(),
        };
        let fabric = Arc::new(fabric::networks::Fake::new());
        let parts = Parts {
            hypervisor: Arc::new(Fake::new(capacity, 1, Faults::default())),
            fabric: Arc::clone(&fabric) as Arc<dyn fabric::networks::Networks>,
            tunnel: Arc::new(tunnel::Fake::new()),
            bus,
            fencing: Fencing::Unneeded,
        };
        let running =
            daemon::start(data.path(), config, keys, parts).await.expect("the node starts");
        let mut context = Context::read(&data.path().join("context.toml")).expect("it is written");
        if !key.is_empty() {
            assert_eq!(context.key, "", "who joins gets no key");
            key.clone_into(&mut context.key);
        }
        let pin = context.pin.parse().expect("it is a pin");
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(Pinned::new(Some(pin)).client())
            .build()
            .expect("the client can be made");
        Self { data, context, network, me, fabric, running, http }
    }

    /// The node itself.
    pub(crate) const fn desk(&self) -> &Desk {
        self.running.desk()
    }

    /// Stops the node; hands back where it was.
    pub(crate) async fn close(self) -> TempDir {
        self.network.leave(self.me);
        self.running.close().await;
        self.data
    }

    /// Asks, with a key or without.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<(&str, Vec<u8>)>,
    ) -> reqwest::Response {
        self.ask_as(method, path, key, body, None).await
    }

    /// Asks under a number of the client's own.
    pub(crate) async fn ask_as(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<(&str, Vec<u8>)>,
        number: Option<&str>,
    ) -> reqwest::Response {
        let mut request = self.http.request(method, format!("{}{path}", self.context.url));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if let Some(number) = number {
            request = request.header("idempotency-key", number);
        }
        if let Some((kind, bytes)) = body {
            request = request.header("content-type", kind).body(bytes);
        }
        request.timeout(PATIENCE).send().await.expect("the node answers")
    }

    /// What the operator gets.
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.ask(Method::GET, path, Some(&self.context.key), None).await).await
    }

    /// What the operator is answered to a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let body = Some(("application/json", body.to_string().into_bytes()));
        read(self.ask(Method::POST, path, Some(&self.context.key), body).await).await
    }

    /// What the operator is answered to a manifest.
    pub(crate) async fn submit(&self, manifest: &str, number: Option<&str>) -> (StatusCode, Value) {
        let body = Some(("application/yaml", manifest.as_bytes().to_vec()));
        let key = Some(self.context.key.as_str());
        read(self.ask_as(Method::POST, "/v1/services", key, body, number).await).await
    }

    /// What the operator is answered to a removal.
    pub(crate) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        read(self.ask(Method::DELETE, path, Some(&self.context.key), None).await).await
    }

    /// Sends a file and hands back what it is called.
    pub(crate) async fn send_blob(&self, content: &[u8]) -> Value {
        let body = Some(("application/octet-stream", content.to_vec()));
        let sent = self.ask(Method::POST, "/v1/blobs", Some(&self.context.key), body).await;
        let (status, blob) = read(sent).await;
        assert_eq!(status, StatusCode::CREATED, "{blob}");
        blob
    }

    /// Registers an image called `guest`.
    pub(crate) async fn register_guest(&self) {
        let content = json!({ "kernel": {
            "kernel": self.send_blob(b"a kernel").await,
            "initrd": self.send_blob(b"an initial RAM disk").await,
            "command_line": "console=ttyS0",
        }});
        let image = json!({ "name": "guest", "content": content });
        let (status, answer) = self.post("/v1/images", &image).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }

    /// Makes a key of another tenant and hands back its secret.
    pub(crate) async fn add_tenant(&self, name: &str) -> String {
        let new = json!({ "name": name, "tenant": name, "role": "tenant" });
        let (status, added) = self.post("/v1/keys", &new).await;
        assert_eq!(status, StatusCode::CREATED, "{added}");
        text(&added["secret"])
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self).await {
            assert!(Instant::now() < deadline, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a service or machine has this in a field.
    pub(crate) async fn until_field(&self, path: &str, field: &str, value: &str) -> Value {
        self.until(&format!("{path} has {field} {value}"), async |world| {
            let (_, seen) = world.get(path).await;
            seen[field] == value
        })
        .await;
        self.get(path).await.1
    }

    /// Writes a context of this site with another key, for the command line.
    pub(crate) fn context_with_key(&self, key: &str) -> PathBuf {
        let path = self.data.path().join(format!("context-{}.toml", &key[4..12]));
        let context = Context { key: key.to_owned(), ..self.context.clone() };
        context.write(&path).expect("it can be written");
        path
    }
}

/// A new node's directory, and its configuration.
pub(crate) fn place() -> (TempDir, Config) {
    let data = tempfile::tempdir().expect("a directory can be made");
    let file = data.path().join("node.toml");
    std::fs::write(&file, CONFIG).expect("a file can be written");
    (data, config::read(Some(&file)).expect("the configuration is good"))
}

/// Status and JSON of an answer; every error has its parts.
pub(crate) async fn read(response: reqwest::Response) -> (StatusCode, Value) {
    let status = response.status();
    let number = response.headers().get("x-request-id").cloned();
    let number = number.expect("every answer has a number");
    let body = response.bytes().await.expect("the answer arrives");
    let value: Value = serde_json::from_slice(&body).expect("every answer is JSON");
    if !status.is_success() {
        assert_eq!(value["request_id"], number.to_str().expect("it is text"));
        assert!(value["code"].is_string() && value["message"].is_string(), "{value}");
    }
    (status, value)
}

/// A text in JSON.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
