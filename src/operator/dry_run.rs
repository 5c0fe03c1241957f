//! AwsCalls to AWS that can be shown instead of made: what reads is always sent, what changes
//! something only if it is meant.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::aws::{Api, Client, Error};

/// Makes calls, or shows them.
pub struct AwsCalls {
    client: Client,
    show: Option<CallSink>,
}

/// Takes what is shown.
pub type CallSink = Box<dyn Fn(&PlannedCall<'_>)>;

/// A request that is shown.
#[derive(Debug)]
pub struct PlannedCall<'a> {
    /// `ecs`.
    pub service: &'static str,
    /// `RunTask`.
    pub operation: &'a str,
    /// Whether it is sent all the same, because it only reads.
    pub sent: bool,
    /// The whole body.
    pub body: &'a Value,
}

impl PlannedCall<'_> {
    /// As one line of JSON.
    pub fn line(&self) -> String {
        let Self {
            service,
            operation,
            sent,
            body,
        } = self;
        json!({ "service": service, "operation": operation, "sent": sent, "body": body })
            .to_string()
    }
}

impl AwsCalls {
    /// AwsCalls that are made; with `show`, reading ones are shown and made, changing ones only
    /// shown.
    pub fn new(client: Client, show: Option<CallSink>) -> Self {
        Self { client, show }
    }

    /// The client below.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether nothing is changed.
    pub fn is_dry(&self) -> bool {
        self.show.is_some()
    }

    /// A call that only reads.
    pub async fn read<A: DeserializeOwned>(
        &self,
        api: Api,
        operation: &str,
        body: &Value,
    ) -> Result<A, Error> {
        self.shown(api, operation, body, true);
        self.client.json(api, operation, body).await
    }

    /// A call that changes something: `None` where it is only shown.
    pub async fn write<A: DeserializeOwned>(
        &self,
        api: Api,
        operation: &str,
        body: &Value,
    ) -> Result<Option<A>, Error> {
        self.shown(api, operation, body, false);
        if self.is_dry() {
            Ok(None)
        } else {
            self.client.json(api, operation, body).await.map(Some)
        }
    }

    /// Shows a call that will follow and cannot be made now.
    pub fn shown(&self, api: Api, operation: &str, body: &Value, sent: bool) {
        if let Some(show) = &self.show {
            show(&PlannedCall {
                service: api.name,
                operation,
                sent,
                body,
            });
        }
    }
}
