//! A message is found by its id alone: the work of answering it knows nothing else.

pub(crate) const UP: &[&str] = &["create index message_by_id on message (message_id)"];
