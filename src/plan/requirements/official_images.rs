//! Docker's official images, to distinguish `nginx` from a name that a pipeline replaces.

use crate::plan::Plan;
use crate::reference::Reference;

/// Docker's official images as of November 2026 that are still maintained
/// (docker-library/official-images, `library/`), without those that no task uses.
const OFFICIAL: [&str; 108] = [
    "adminer",
    "alpine",
    "almalinux",
    "amazoncorretto",
    "amazonlinux",
    "arangodb",
    "archlinux",
    "bash",
    "buildpack-deps",
    "busybox",
    "caddy",
    "cassandra",
    "chronograf",
    "clearlinux",
    "clickhouse",
    "clojure",
    "composer",
    "couchbase",
    "couchdb",
    "crate",
    "dart",
    "debian",
    "docker",
    "drupal",
    "eclipse-mosquitto",
    "eclipse-temurin",
    "elasticsearch",
    "elixir",
    "erlang",
    "fedora",
    "flink",
    "fluentd",
    "friendica",
    "gazebo",
    "gcc",
    "geonetwork",
    "ghost",
    "golang",
    "gradle",
    "groovy",
    "haproxy",
    "haskell",
    "haxe",
    "hello-world",
    "hitch",
    "httpd",
    "ibmjava",
    "influxdb",
    "irssi",
    "jetty",
    "joomla",
    "jruby",
    "julia",
    "kapacitor",
    "kibana",
    "kong",
    "logstash",
    "mariadb",
    "matomo",
    "maven",
    "mediawiki",
    "memcached",
    "mongo",
    "mongo-express",
    "monica",
    "mysql",
    "nats",
    "neo4j",
    "neurodebian",
    "nextcloud",
    "nginx",
    "node",
    "odoo",
    "openjdk",
    "open-liberty",
    "openresty",
    "oraclelinux",
    "orientdb",
    "percona",
    "perl",
    "photon",
    "php",
    "phpmyadmin",
    "plone",
    "postfixadmin",
    "postgres",
    "pypy",
    "python",
    "rabbitmq",
    "rakudo-star",
    "redis",
    "redmine",
    "registry",
    "rethinkdb",
    "rocket.chat",
    "rockylinux",
    "ruby",
    "rust",
    "satosa",
    "solr",
    "sonarqube",
    "swift",
    "telegraf",
    "tomcat",
    "traefik",
    "ubuntu",
    "wordpress",
    "zookeeper",
];

/// Returns the name as the user writes it if the image is on Docker Hub without a user, and not an
/// official one: such a name is often a placeholder that a pipeline replaces.
fn placeholder_name(image: &Reference) -> Option<&str> {
    let name = image.repository.strip_prefix("library/")?;
    (image.host() == "registry-1.docker.io" && !OFFICIAL.contains(&name)).then_some(name)
}

/// Returns a note on each such image.
pub(super) fn notes(plan: &Plan) -> impl Iterator<Item = String> {
    let images = plan.images.iter().map(|image| &image.reference);
    images.filter_map(|image| {
        let name = placeholder_name(image)?;
        Some(format!(
            "The image name {name:?} has no registry, so {image} is what ECS would pull. If a pipeline replaces \
             it, pass the real image with --image NAME=REF, where NAME is the container's."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_images_and_those_with_a_registry_are_not_placeholders() {
        for (image, expected) in [
            ("nginx:1.27", None),
            ("library/redis", None),
            ("web-backend-dev", Some("web-backend-dev")),
            ("app:latest", Some("app")),
            ("acme/app", None),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/app", None),
            ("ghcr.io/library/app", None),
        ] {
            let image: Reference = image.parse().unwrap();
            assert_eq!(placeholder_name(&image), expected, "{image:?}");
        }
    }
}
