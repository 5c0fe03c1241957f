//! What the grammar makes of real messages, of what becomes of them, and of messages that nobody
//! has shown it.

mod corpus;
mod held_out;
mod mutated;
mod schema;
mod unseen;
