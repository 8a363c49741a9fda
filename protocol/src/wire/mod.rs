//! What crosses the network between sites. Each version is frozen by golden vectors; a new one is
//! a new module, and the protocol id of the bus says which is spoken.

pub mod v1;
