//! Calls that read, and the ones that failed.

use std::cell::RefCell;

use crate::inspect::snapshot::Unread;
use crate::operator::aws::{Api, CallError, RestCall};
use crate::operator::dry_run::AwsCalls;
use crate::safe_text::{MAX_FOREIGN_CHARS, visible};

use super::xml::XmlNode;

/// Pages of one list. EC2's have up to 1,000 items, and a VPC has fewer of anything by default than
/// fill 20 of them (Amazon VPC quotas).
const MAX_PAGES: usize = 100;

/// Values of one filter (EC2 API reference, "Filter").
const MAX_FILTER_VALUES: usize = 200;

/// Attempts of one call: there are dozens of calls, and what one of them would have added is named.
const MAX_ATTEMPTS: usize = 4;

/// Reads, and collects what could not be read.
pub(super) struct Reader {
    calls: AwsCalls,
    unread: RefCell<Vec<Unread>>,
}

impl Reader {
    pub fn new(calls: &AwsCalls) -> Self {
        let client = calls.client().with_max_attempts(MAX_ATTEMPTS);
        Self {
            calls: AwsCalls::new(client, None),
            unread: RefCell::default(),
        }
    }

    pub fn calls(&self) -> &AwsCalls {
        &self.calls
    }

    /// Returns the calls in another Region.
    pub fn in_region(&self, region: &crate::endpoints::Region) -> AwsCalls {
        AwsCalls::new(self.calls.client().in_region(region.clone()), None)
    }

    pub fn into_unread(self) -> Vec<Unread> {
        let mut unread = self.unread.into_inner();
        unread.sort_by(|a, b| a.action.cmp(&b.action));
        unread
    }

    /// Returns the value, or notes what it would have added. Each action is noted once.
    pub fn or_unread<T>(&self, result: Result<T, CallError>, adds: &str) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(&error, adds);
                None
            }
        }
    }

    pub fn note(&self, error: &CallError, adds: &str) {
        let action = error.action().to_owned();
        let why = match error.code() {
            "" => error.to_string(),
            code => code.to_owned(),
        };
        let mut unread = self.unread.borrow_mut();
        if !unread.iter().any(|known| known.action == action) {
            unread.push(Unread {
                action,
                adds: adds.to_owned(),
                why: visible(&why, MAX_FOREIGN_CHARS),
            });
        }
    }

    /// Calls an action of a Query service.
    pub async fn query(
        &self,
        api: Api,
        action: &str,
        fields: &[(String, String)],
    ) -> Result<XmlNode, CallError> {
        let xml = self.calls.client().query_xml(api, action, fields).await?;
        parsed(api.action(action), &xml)
    }

    /// Calls an operation of a REST-XML service.
    pub async fn rest_xml(&self, api: Api, call: &RestCall<'_>) -> Result<XmlNode, CallError> {
        let xml = self.calls.client().rest_xml(api, call).await?;
        parsed(api.action(call.operation), &xml)
    }

    /// Calls an action of EC2 with filters and returns the items of every page.
    pub async fn ec2(
        &self,
        action: &str,
        set: &str,
        page_size: Option<u32>,
        filters: &[(&str, &[String])],
        fields: &[(&str, &str)],
    ) -> Result<Vec<XmlNode>, CallError> {
        let mut base: Vec<(String, String)> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        if let Some(size) = page_size {
            base.push(("MaxResults".into(), size.to_string()));
        }
        // Only the last filter can be longer than one request takes.
        let (long, short) = match filters.split_last() {
            Some((last, others)) => (Some(last), others),
            None => (None, filters),
        };
        for (number, (name, values)) in short.iter().enumerate() {
            add_filter(&mut base, number + 1, name, values);
        }
        let chunks: Vec<&[String]> = match long {
            Some((_, values)) => values.chunks(MAX_FILTER_VALUES).collect(),
            None => vec![&[]],
        };
        let mut items = Vec::new();
        for chunk in chunks {
            let mut fields = base.clone();
            if let Some((name, _)) = long {
                add_filter(&mut fields, short.len() + 1, name, chunk);
            }
            items.extend(self.ec2_pages(action, set, &fields).await?);
        }
        Ok(items)
    }

    async fn ec2_pages(
        &self,
        action: &str,
        set: &str,
        fields: &[(String, String)],
    ) -> Result<Vec<XmlNode>, CallError> {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut fields = fields.to_vec();
            fields.extend(token.map(|token| ("NextToken".to_owned(), token)));
            let page = self.query(Api::EC2, action, &fields).await?;
            items.extend(page.items(set).cloned());
            token = page.text("nextToken").map(str::to_owned);
            if token.is_none() {
                return Ok(items);
            }
        }
        Err(CallError::TooManyPages {
            action: Api::EC2.action(action),
            pages: MAX_PAGES,
        })
    }
}

fn parsed(action: String, xml: &str) -> Result<XmlNode, CallError> {
    XmlNode::from_xml(xml).map_err(|detail| CallError::Unreadable { action, detail })
}

fn add_filter(fields: &mut Vec<(String, String)>, number: usize, name: &str, values: &[String]) {
    fields.push((format!("Filter.{number}.Name"), name.to_owned()));
    for (at, value) in values.iter().enumerate() {
        fields.push((format!("Filter.{number}.Value.{}", at + 1), value.clone()));
    }
}
