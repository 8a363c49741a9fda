//! The binary `reservoir`: node and command line.

fn main() {}
