//! What the commands that call AWS share.

use super::Error;
use crate::endpoints::Region;
use crate::operator::OperatorError;
use crate::operator::aws::{CallError, Client};
use crate::operator::stopped::region_of;

/// Returns a client for `region`, else for the Region of an ARN, else for the default Region.
pub(super) async fn client(region: Option<Region>, arn: Option<&str>) -> Result<Client, Error> {
    let region = region.or_else(|| arn.and_then(region_of));
    Ok(Client::load(region).await?)
}

/// Maps a missing Region or missing credentials to a usage error, which the operator can correct.
impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Setup(text) => Self::Usage(text),
            other => Self::Tool(other.to_string()),
        }
    }
}

impl From<OperatorError> for Error {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Usage(text) => Self::Usage(text),
            OperatorError::Call(error) => error.into(),
            OperatorError::Failed(text) => Self::Tool(text),
        }
    }
}
