//! AWS calls with a dry run, which sends only read-only requests and shows the others.

use crate::safe_text::escape_json;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::aws::{Api, CallError, Client, RestCall};

/// Calls AWS. A dry run shows every request and sends only the read-only ones.
pub struct AwsCalls {
    client: Client,
    sink: Option<CallSink>,
}

/// Receives each planned request of a dry run.
pub type CallSink = Box<dyn Fn(&PlannedCall<'_>)>;

/// What a request does in the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Reads,
    Changes,
}

/// A request of a dry run.
#[derive(Debug)]
pub struct PlannedCall<'a> {
    pub api: Api,
    /// Name in the service model, such as `RunTask`.
    pub operation: &'a str,
    /// Whether the request was sent, because it is read-only.
    pub sent: bool,
    pub body: &'a Value,
}

impl PlannedCall<'_> {
    /// Formats the request as one line of JSON.
    pub fn line(&self) -> String {
        let Self {
            api,
            operation,
            sent,
            body,
        } = self;
        let call =
            json!({ "service": api.name, "operation": operation, "sent": sent, "body": body });
        escape_json(call.to_string())
    }
}

impl AwsCalls {
    /// Returns the calls of `client`. With a `sink`, this is a dry run.
    pub fn new(client: Client, sink: Option<CallSink>) -> Self {
        Self { client, sink }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether this is a dry run.
    pub fn is_dry(&self) -> bool {
        self.sink.is_some()
    }

    /// Calls a read-only operation of an AWS JSON service.
    pub async fn read<A: DeserializeOwned>(
        &self,
        api: Api,
        operation: &str,
        input: &impl Serialize,
    ) -> Result<A, CallError> {
        let body = to_json(input)?;
        self.show(api, operation, &body, Effect::Reads);
        self.client.json(api, operation, &body).await
    }

    /// Calls a changing operation of an AWS JSON service. Returns `None` in a dry run.
    pub async fn change<A: DeserializeOwned>(
        &self,
        api: Api,
        operation: &str,
        input: &impl Serialize,
    ) -> Result<Option<A>, CallError> {
        let body = to_json(input)?;
        self.show(api, operation, &body, Effect::Changes);
        if self.is_dry() {
            return Ok(None);
        }
        self.client.json(api, operation, &body).await.map(Some)
    }

    /// Calls a read-only operation of a REST service.
    pub async fn read_rest<A: DeserializeOwned>(
        &self,
        api: Api,
        call: &RestCall<'_>,
    ) -> Result<A, CallError> {
        self.show_rest(api, call, None, Effect::Reads);
        self.client.rest(api, call, None).await
    }

    /// Calls a changing operation of a REST service and drops its response.
    pub async fn change_rest(
        &self,
        api: Api,
        call: &RestCall<'_>,
        body: Option<&Value>,
    ) -> Result<(), CallError> {
        self.show_rest(api, call, body, Effect::Changes);
        if self.is_dry() {
            return Ok(());
        }
        let response: Result<IgnoredAny, _> = self.client.rest(api, call, body).await;
        response.map(drop)
    }

    /// Calls a read-only action of a Query service.
    pub async fn read_query<A: DeserializeOwned>(
        &self,
        api: Api,
        action: &str,
        fields: &[(String, String)],
    ) -> Result<A, CallError> {
        self.show(api, action, &object(fields), Effect::Reads);
        self.client.query(api, action, fields).await
    }

    /// Calls a changing action of a Query service and drops its response.
    pub async fn change_query(
        &self,
        api: Api,
        action: &str,
        fields: &[(String, String)],
    ) -> Result<(), CallError> {
        self.show(api, action, &object(fields), Effect::Changes);
        if self.is_dry() {
            return Ok(());
        }
        let response: Result<IgnoredAny, _> = self.client.query(api, action, fields).await;
        response.map(drop)
    }

    /// Returns the account of the operator's credentials, which need no permission for it.
    pub async fn caller_account(&self) -> Result<String, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Identity {
            account: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Response {
            get_caller_identity_result: Identity,
        }
        let response: Response = self.read_query(Api::STS, "GetCallerIdentity", &[]).await?;
        Ok(response.get_caller_identity_result.account)
    }

    /// Shows a request in a dry run. It may be one that cannot be sent, because it depends on the
    /// response to a changing request.
    pub fn show(&self, api: Api, operation: &str, body: &Value, effect: Effect) {
        if let Some(sink) = &self.sink {
            sink(&PlannedCall {
                api,
                operation,
                sent: effect == Effect::Reads,
                body,
            });
        }
    }

    /// Shows a request of a REST service in a dry run, as [`AwsCalls::show`] does.
    pub fn show_rest(&self, api: Api, call: &RestCall<'_>, body: Option<&Value>, effect: Effect) {
        let body = json!({ "method": call.method.as_str(), "path": call.path, "body": body });
        self.show(api, call.operation, &body, effect);
    }
}

/// Converts a request to JSON.
pub fn to_json(input: &impl Serialize) -> Result<Value, CallError> {
    serde_json::to_value(input).map_err(|error| CallError::Setup(error.to_string()))
}

fn object(fields: &[(String, String)]) -> Value {
    let members: Map<String, Value> = fields
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    Value::Object(members)
}
