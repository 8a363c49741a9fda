//! Claims about what guests can ask.
//!
//! | what | file |
//! | --- | --- |
//! | everything that there is, version by version | [`catalogue`] |
//! | tokens, and whom they are good for | [`tokens`] |
//! | what a guest says of itself | [`kpis`] |
//! | whatever is asked, however it is written | [`requests`] |
//! | the server, over loopback: limits, times, ends | [`server`] |
//! | cloud-init, as it asks | [`boot`] |
//! | guests, a service and a router in namespaces of their own | [`namespace`] |

mod boot;
mod catalogue;
mod example;
mod kpis;
mod namespace;
mod requests;
mod scene;
mod server;
mod tokens;
