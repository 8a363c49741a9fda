//! Gateways that are real: two on this machine, and one whose kernel has `WireGuard`.

mod detached;
mod embedded;
mod kernel;
mod nat;
mod scene;
