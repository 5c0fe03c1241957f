//! Paginated list operations of AWS APIs.

use super::aws::{Api, CallError};

/// One page of a list.
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_token: Option<String>,
}

/// Reads all pages of `operation`: `fetch` gets the token of the next page, `None` for the first.
/// Fails if there are more than `max_pages`, because an incomplete list would be wrong.
pub async fn all_pages<T>(
    api: Api,
    operation: &str,
    max_pages: usize,
    mut fetch: impl AsyncFnMut(Option<String>) -> Result<Page<T>, CallError>,
) -> Result<Vec<T>, CallError> {
    let mut items = Vec::new();
    let mut token = None;
    for _ in 0..max_pages {
        let page = fetch(token).await?;
        items.extend(page.items);
        // The Query protocol sends an empty token with the last page.
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(items);
        }
    }
    Err(CallError::TooManyPages {
        action: api.action(operation),
        pages: max_pages,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(pages: u32) -> Result<Vec<u32>, CallError> {
        let mut page = 0;
        all_pages(Api::ECS, "ListTasks", 3, async |token| {
            assert_eq!(token.is_none(), page == 0);
            page += 1;
            Ok(Page {
                items: vec![page],
                next_token: (page < pages).then(|| "next".to_owned()),
            })
        })
        .await
    }

    #[tokio::test]
    async fn reads_every_page_or_fails() {
        assert_eq!(read(1).await.unwrap(), [1]);
        assert_eq!(read(3).await.unwrap(), [1, 2, 3]);
        assert_eq!(
            read(4).await.unwrap_err().to_string(),
            "ecs:ListTasks returned more than 3 pages"
        );
    }
}
