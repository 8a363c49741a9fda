//! Claims about the parts that touch no kernel.

mod coalescing;
mod handshakes;
mod reference;
mod segmentation;
