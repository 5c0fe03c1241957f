//! What the operator's commands read from AWS, for [`crate::fuzz`].

use serde::de::DeserializeOwned;

use super::ecs::{
    DescribeServiceRevisionsResponse, DescribeServicesResponse, TaskDefinitionResponse,
    TasksResponse,
};
use super::inspect::xml_texts;
use crate::explain::{explain_with, tasks};
use crate::safe_text::is_hidden;

/// An answer of Amazon ECS, read as that of each operation, and as a document for `explain`.
pub fn ecs_answer(bytes: &[u8]) {
    fn read<T: DeserializeOwned>(bytes: &[u8]) {
        let _ = serde_json::from_slice::<T>(bytes);
    }
    read::<TasksResponse>(bytes);
    read::<DescribeServicesResponse>(bytes);
    read::<DescribeServiceRevisionsResponse>(bytes);
    read::<TaskDefinitionResponse>(bytes);
    for message in tasks::messages(&String::from_utf8_lossy(bytes)).unwrap_or_default() {
        let line = explain_with(&message.text, &message.context).line();
        assert!(!line.chars().any(is_hidden), "{line:?}");
    }
}

/// An answer in XML, of Amazon EC2, IAM or Route 53.
pub fn xml_answer(bytes: &[u8]) {
    for text in xml_texts(&String::from_utf8_lossy(bytes)) {
        assert!(!text.chars().any(is_hidden), "{text:?}");
    }
}
