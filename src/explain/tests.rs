//! Real messages, mutated ones, and messages that the lexicon was not written from.

mod corpus;
mod held_out;
mod mutated;
mod schema;
mod unseen;
