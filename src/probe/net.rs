//! Network protocols, from names to HTTP, each bounded in time and memory. A module comes after all
//! that it imports.

/// DNS lookups, and the queries that explain a failed one.
pub mod resolve;

/// TCP connections, from one source port or several.
pub mod tcp;

/// Retries with small segments, which find a path MTU black hole.
pub mod path_mtu;

/// TLS handshakes, with the presented certificate chain.
pub mod tls;

/// HTTP/1.1 exchanges.
pub mod http;

/// The RPC call that an NFS client sends first.
pub mod onc_rpc;
