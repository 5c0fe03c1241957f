//! The body of a CloudWatch dashboard (CloudWatch API reference, "Dashboard Body Structure and
//! Syntax").

use serde_json::{Value, json};

/// Widths of a dashboard's grid, and height of a row of widgets.
const COLUMNS: usize = 24;
const HEIGHT: usize = 6;

/// A dashboard under construction: widgets of half the width or all of it, in rows.
#[derive(Debug, Clone)]
pub struct Dashboard {
    region: String,
    widgets: Vec<Value>,
    x: usize,
    y: usize,
}

/// A metric of a graph.
#[derive(Debug, Clone)]
pub struct DashboardMetric {
    /// Such as `AWS/Lambda`.
    pub namespace: &'static str,
    /// Such as `Errors`.
    pub name: &'static str,
    /// Names and values of its dimensions.
    pub dimensions: Vec<(&'static str, String)>,
    /// What the graph calls it.
    pub label: String,
}

impl Dashboard {
    /// Begins a dashboard whose widgets read one Region.
    pub fn of(region: impl Into<String>) -> Self {
        Self {
            region: region.into(),
            widgets: Vec::new(),
            x: 0,
            y: 0,
        }
    }

    /// Returns the body.
    pub fn body(&self) -> Value {
        json!({ "widgets": self.widgets })
    }

    /// Adds a graph of half the width.
    pub fn graph(
        &mut self,
        title: &str,
        metrics: &[DashboardMetric],
        statistic: &str,
        seconds: u32,
    ) {
        let metrics: Vec<Value> = metrics
            .iter()
            .map(|metric| {
                let mut parts = vec![json!(metric.namespace), json!(metric.name)];
                for (name, value) in &metric.dimensions {
                    parts.extend([json!(name), json!(value)]);
                }
                parts.push(json!({ "label": metric.label }));
                Value::Array(parts)
            })
            .collect();
        let properties = json!({
            "title": title,
            "region": self.region,
            "view": "timeSeries",
            "stat": statistic,
            "period": seconds,
            "yAxis": { "left": { "min": 0 } },
            "metrics": metrics,
        });
        self.add("metric", COLUMNS / 2, &properties);
    }

    /// Adds a table of a Logs Insights query over a log group, of all the width.
    pub fn table(&mut self, title: &str, log_group: &str, query: &str) {
        let properties = json!({
            "title": title,
            "region": self.region,
            "view": "table",
            "query": format!("SOURCE '{log_group}' | {query}"),
        });
        self.add("log", COLUMNS, &properties);
    }

    fn add(&mut self, kind: &str, width: usize, properties: &Value) {
        if self.x + width > COLUMNS {
            (self.x, self.y) = (0, self.y + HEIGHT);
        }
        self.widgets.push(json!({
            "type": kind,
            "x": self.x,
            "y": self.y,
            "width": width,
            "height": HEIGHT,
            "properties": properties,
        }));
        self.x += width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widgets_do_not_overlap_and_stay_within_the_grid() {
        let metric = DashboardMetric {
            namespace: "PullProbe",
            name: "Failed",
            dimensions: vec![("Region", "eu-west-1".into())],
            label: "subnet-1".into(),
        };
        let mut dashboard = Dashboard::of("eu-west-1");
        dashboard.table("reports", "/pullprobe/a", "limit 1");
        for _ in 0..3 {
            dashboard.graph("failures", std::slice::from_ref(&metric), "Maximum", 900);
        }
        let body = dashboard.body();
        let places: Vec<_> = body["widgets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|widget| (widget["x"].clone(), widget["y"].clone()))
            .collect();
        assert_eq!(json!(places), json!([[0, 0], [0, 6], [12, 6], [0, 12]]));
        assert_eq!(
            body["widgets"][1]["properties"]["metrics"][0],
            json!(["PullProbe", "Failed", "Region", "eu-west-1", { "label": "subnet-1" }])
        );
    }
}
