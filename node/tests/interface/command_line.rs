//! Claims about the command line, as a script meets it: output, errors, exit codes.

use std::path::Path;
use std::process::Stdio;

use reservoir::api::secret::Secret;
use reservoir::cli::context::Context;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::world::{MANIFEST, PATIENCE, World, text};

/// What came of a command.
pub(crate) struct Done {
    code: i32,
    out: String,
    err: String,
}

/// Runs the command line with a context.
pub(crate) async fn run(context: &Path, arguments: &[&str]) -> Done {
    let output = Command::new(env!("CARGO_BIN_EXE_reservoir"))
        .args(arguments)
        .env("RESERVOIR_CONTEXT", context)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output).await.expect("it ends").expect("it starts");
    Done {
        code: output.status.code().expect("it ends by itself"),
        out: String::from_utf8(output.stdout).expect("it writes text"),
        err: String::from_utf8(output.stderr).expect("it writes text"),
    }
}

impl Done {
    #[track_caller]
    pub(crate) fn succeeds(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    #[track_caller]
    fn fails(self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        assert!(self.err.contains(words), "{}", self.err);
    }
}

#[tokio::test]
async fn a_service_is_submitted_followed_shown_and_ended() {
    let world = World::start().await;
    let context = world.data.path().join("used.toml");
    let data = world.data.path().display().to_string();
    let used = run(&context, &["site", "use", &data]).await.succeeds();
    assert!(used.starts_with("using site alpha at https://127.0.0.1:"), "{used}");

    let file = |name: &str, content: &str| {
        let path = world.data.path().join(name);
        std::fs::write(&path, content).expect("a file can be written");
        path.display().to_string()
    };
    let kernel = file("vmlinuz", "a kernel");
    let initrd = file("initrd.img", "an initial RAM disk");
    let register = ["image", "register", "guest", "--kernel", &kernel, "--initrd", &initrd];
    run(&context, &register).await.succeeds();

    let manifest = file("shop.yaml", MANIFEST);
    let plan = run(&context, &["service", "submit", "--plan", &manifest]).await.succeeds();
    assert!(plan.contains("shop/web-1  alpha  alpha-1"), "{plan}");
    let submit = run(&context, &["-o", "json", "service", "submit", &manifest]).await.succeeds();
    let service: Value = serde_json::from_str(&submit).expect("it is JSON");
    assert_eq!(service["stage"], "RUNNING");
    let machines = run(&context, &["machine", "ls"]).await.succeeds();
    assert_eq!(machines.matches("ACTIVE").count(), 2, "{machines}");

    let paused = run(&context, &["machine", "pause", "shop/web-1"]).await.succeeds();
    assert!(paused.contains("PAUSED"), "{paused}");
    let id = text(&service["machines"][1]["id"]);
    let tail = &id[id.len() - 12..];
    let shown = run(&context, &["machine", "show", tail, "-o", "json"]).await.succeeds();
    assert!(shown.contains("shop/web-2"), "{shown}");
    let console = run(&context, &["machine", "console", "shop/web-2"]).await.succeeds();
    assert!(console.contains("the guest in "), "{console}");

    let scaled = run(&context, &["service", "scale", "shop", "web", "4"]).await.succeeds();
    assert_eq!(scaled.matches("ACTIVE").count(), 3, "shop/web-1 stays paused: {scaled}");
    run(&context, &["service", "scale", "shop", "web", "5"])
        .await
        .fails(3, "no host here has room");
    run(&context, &["service", "scale", "shop", "web", "0"]).await.fails(3, "from 1 to 256");
    run(&context, &["service", "scale", "shop", "web", "1"]).await.succeeds();
    secured(&context).await;
    addressed(&context).await;
    let services = run(&context, &["service", "ls"]).await.succeeds();
    assert!(services.contains("0/1"), "{services}");

    run(&context, &["service", "end", "shop"]).await.succeeds();
    let left = run(&context, &["-o", "json", "machine", "ls"]).await.succeeds();
    assert_eq!(left.trim(), "[]");
    world.close().await;
}

#[tokio::test]
async fn a_peer_is_added_changed_and_removed_while_the_node_runs() {
    let world = World::start().await;
    let context = world.data.path().join("context.toml");
    let id = "ab".repeat(32);
    let add = ["peer", "add", &id, "--name", "beta", "--address", "/ip4/192.0.2.2/tcp/7401"];
    for _ in 0..2 {
        let added = run(&context, &[&add[..], &["credit=5.00"]].concat()).await.succeeds();
        assert_eq!(added, "beta is a peer\n");
    }
    let policy = ["peer", "policy", "beta", "sells-to=no", "price-factor=1.2"];
    let policy = run(&context, &policy).await.succeeds();
    for line in ["sells-to      no", "price-factor  1.200", "credit        5.000000"] {
        assert!(policy.contains(line), "{policy}");
    }
    let shown = run(&context, &["-o", "json", "peer", "show", "beta"]).await.succeeds();
    let shown: Value = serde_json::from_str(&shown).expect("it is JSON");
    assert_eq!(shown["standing"], "open");
    assert_eq!(shown["policy"]["credit"], "5.000000");
    run(&context, &["peer", "policy", "beta", "credit=much"]).await.fails(2, "such as 5.00");
    let own = world.get("/v1/site").await.1["id"].as_str().expect("an id").to_owned();
    run(&context, &["peer", "add", &own, "--name", "me"]).await.fails(3, "is this site");
    let elsewhere = ["peer", "add", &id, "--name", "beta", "--address", "nowhere"];
    run(&context, &elsewhere).await.fails(3, "'nowhere' is not an address");
    run(&context, &["peer", "rm", "beta"]).await.succeeds();
    run(&context, &["peer", "show", "beta"]).await.fails(4, "there is no peer 'beta'");
    run(&context, &["site", "reserve", "0.25"]).await.succeeds();
    let site = run(&context, &["site", "show"]).await.succeeds();
    assert!(site.contains("reserve       0.250"), "{site}");
    world.close().await;
}

#[tokio::test]
async fn exit_codes_tell_what_went_wrong() {
    let world = World::start().await;
    world.register_guest().await;
    let context = world.data.path().join("context.toml");
    let none = world.data.path().join("none.toml");
    let huge = world.data.path().join("huge.yaml");
    std::fs::write(&huge, MANIFEST.replace("128MiB", "512GiB")).expect("it can be written");
    let bad = world.data.path().join("bad.yaml");
    std::fs::write(&bad, MANIFEST.replace("128MiB", "128")).expect("it can be written");
    let image = world.data.path().join("image.yaml");
    std::fs::write(&image, MANIFEST.replace("guest", "gest")).expect("it can be written");
    let submit = async |file: &Path| {
        run(&context, &["service", "submit", &file.display().to_string()]).await
    };

    run(&none, &["site", "show"]).await.fails(1, "'reservoir site use DIR'");
    run(&context, &["site", "shwo"]).await.fails(2, "unrecognized subcommand");
    submit(&huge).await.fails(3, "no host here has room for it");
    submit(&bad).await.fails(3, "bad.yaml:6:13:");
    submit(&image).await.fails(3, "image.yaml:4:12: components.web.image:");
    run(&context, &["machine", "show", "moon"]).await.fails(4, "there is no machine 'moon'");
    let tenant = world.context_with_key(&world.add_tenant("acme").await);
    run(&tenant, &["key", "ls"]).await.fails(6, "only an operator may do this");
    let stranger = world.context_with_key(&Secret::draw().expose());
    run(&stranger, &["site", "show"]).await.fails(6, "this site does not know the key");
    let problem = run(&stranger, &["-o", "json", "site", "show"]).await.err;
    let problem: Value = serde_json::from_str(&problem).expect("it is JSON");
    assert_eq!(problem["code"], "unauthenticated");
    world.close().await;
}

#[tokio::test]
async fn nobody_is_spoken_to_who_shows_another_certificate() {
    let world = World::start().await;
    let path = world.data.path().join("other.toml");
    let pin = &world.context.pin;
    let other = Context { pin: "00".repeat(32), ..world.context.clone() };
    other.write(&path).expect("it can be written");
    run(&path, &["site", "show"]).await.fails(5, pin);

    let first = ["site", "use", &world.context.url, "--key", &world.context.key];
    run(&path, &first).await.fails(5, &format!("--pin {pin}"));
    assert_eq!(Context::read(&path).expect("it is still there"), other);
    let pinned = [&first[..], &["--pin", pin]].concat();
    run(&path, &pinned).await.succeeds();
    run(&path, &["site", "show"]).await.succeeds();
    world.close().await;
}

#[tokio::test]
async fn a_site_that_is_gone_cannot_be_reached() {
    let world = World::start().await;
    let directory = tempfile::tempdir().expect("a directory can be made");
    let context = directory.path().join("context.toml");
    world.context.write(&context).expect("it can be written");
    let url = world.context.url.clone();
    world.close().await;
    run(&context, &["site", "show"]).await.fails(5, &url);
}

#[tokio::test]
async fn a_site_is_founded_once() {
    let data = tempfile::tempdir().expect("a directory can be made");
    let path = data.path().display().to_string();
    let init = ["site", "init", "--data", &path, "--name", "alpha"];
    let first = run(data.path(), &init).await.succeeds();
    assert_eq!(first.trim().len(), 64, "{first}");
    assert_eq!(run(data.path(), &init).await.succeeds(), first);
    let other = ["site", "init", "--data", &path, "--name", "beta"];
    run(data.path(), &other).await.fails(1, "is called 'alpha'");
}

/// The security groups of a service that runs are changed, and what could not be is refused.
async fn secured(context: &Path) {
    let security = |words: &[&'static str]| [&["service", "security"], words].concat();
    let open = security(&["set", "shop", "front", "--ingress", "tcp 80 from 0.0.0.0/0"]);
    run(context, &open).await.succeeds();
    run(context, &open).await.succeeds();
    run(context, &security(&["assign", "shop", "web", "front"])).await.succeeds();
    let listed = run(context, &security(&["ls", "shop"])).await.succeeds();
    assert!(listed.contains("tcp 80 from 0.0.0.0/0"), "{listed}");
    run(context, &security(&["rm", "shop", "front"])).await.fails(3, "no security group 'front'");
    let backwards = security(&["set", "shop", "front", "--ingress", "tcp 80-20 from 0.0.0.0/0"]);
    run(context, &backwards).await.fails(3, "write 20-80");
    let nobody = security(&["assign", "shop", "web", "nobody"]);
    run(context, &nobody).await.fails(3, "no security group 'nobody'");
}

/// Public addresses come from a pool and go back to it, and what cannot be done is refused.
async fn addressed(context: &Path) {
    let address = |words: &[&'static str]| [&["address"], words].concat();
    run(context, &address(&["allocate"])).await.fails(3, "address pool add");
    let add = address(&["pool", "add", "198.51.100.0/30"]);
    run(context, &add).await.succeeds();
    run(context, &add).await.succeeds();
    let overlap = address(&["pool", "add", "198.51.100.0/29"]);
    run(context, &overlap).await.fails(3, "addresses in common");
    let allocated = run(context, &address(&["allocate"])).await.succeeds();
    assert_eq!(allocated, "198.51.100.0\n");
    let associate = address(&["associate", "198.51.100.0", "shop/web-1"]);
    run(context, &associate).await.fails(3, "outbound: true");
    let pools = run(context, &address(&["pool", "ls"])).await.succeeds();
    assert!(pools.contains("1/4"), "{pools}");
    let used = address(&["pool", "rm", "198.51.100.0/30"]);
    run(context, &used).await.fails(3, "are tenants'");
    run(context, &address(&["release", "198.51.100.0"])).await.succeeds();
    run(context, &address(&["release", "198.51.100.0"])).await.fails(4, "no public address");
    run(context, &used).await.succeeds();
}
