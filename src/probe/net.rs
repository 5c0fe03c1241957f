//! The network protocols, each over the connection that is being probed.

pub mod http;
pub mod onc_rpc;
pub mod path_mtu;
pub mod resolve;
pub mod tcp;
pub mod tls;
