//! What ECS itself would have said.
