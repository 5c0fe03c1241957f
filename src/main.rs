//! The `pullprobe` binary.
fn main() {}
