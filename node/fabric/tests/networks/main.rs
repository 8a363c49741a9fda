//! Claims about the networks of real hosts, in namespaces.

mod floods;
mod guests;
mod liars;
mod many_hosts;
mod names;
mod one_host;
mod outside;
mod public;
mod routed;
mod scene;
