//! Container names, and references between containers: `dependsOn`, `links`, `volumesFrom`.

use super::error::TaskDefinitionError;
use super::node::Node;
use crate::plan::shorten;

/// Checks that names are unique, references exist, and dependencies have no cycle.
pub(super) fn check(containers: &[Node<'_>]) -> Result<(), TaskDefinitionError> {
    let mut names: Vec<Option<&str>> = Vec::new();
    for container in containers {
        let name = container.text_of("name")?;
        if let Some(text) = name {
            let node = container.required("name")?;
            if let Some(n) = names.iter().position(|known| *known == name) {
                return Err(node.error(format_args!(
                    "{:?} is already the name of {}",
                    shorten(text),
                    containers[n].path()
                )));
            }
            if !is_container_name(text) {
                return Err(node.error(format_args!(
                    "invalid container name {:?}: 1 to 255 letters, digits, - and _",
                    shorten(text)
                )));
            }
        }
        names.push(name);
    }
    let references = containers
        .iter()
        .map(|container| referenced_containers(container, &names))
        .collect::<Result<Vec<_>, _>>()?;
    match find_cycle(&references) {
        Some(cycle) => {
            let cycle_names: Vec<_> = cycle.iter().map(|n| names[*n].unwrap_or("?")).collect();
            let cycle_names = cycle_names.join(" → ");
            Err(containers[cycle[0]].error(format_args!("cyclic references: {cycle_names}")))
        }
        None => Ok(()),
    }
}

/// Whether `name` has 1 to 255 letters, digits, hyphens and underscores (ECS API reference,
/// ContainerDefinition).
fn is_container_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    (1..=255).contains(&name.len()) && name.chars().all(allowed)
}

/// Returns the positions of the containers that this one refers to.
fn referenced_containers(
    container: &Node<'_>,
    names: &[Option<&str>],
) -> Result<Vec<usize>, TaskDefinitionError> {
    let position = |node: &Node<'_>, name: &str| {
        names
            .iter()
            .position(|known| *known == Some(name))
            .ok_or_else(|| node.error(format_args!("there is no container {:?}", shorten(name))))
    };
    let mut references = Vec::new();
    for dependency in container.elements("dependsOn")? {
        let name = dependency.required("containerName")?;
        dependency
            .required("condition")?
            .one_of(&["START", "COMPLETE", "SUCCESS", "HEALTHY"])?;
        references.push(position(&name, name.text()?)?);
    }
    for link in container.elements("links")? {
        let text = link.text()?;
        let name = text.split_once(':').map_or(text, |(name, _alias)| name);
        references.push(position(&link, name)?);
    }
    for volumes in container.elements("volumesFrom")? {
        let name = volumes.required("sourceContainer")?;
        references.push(position(&name, name.text()?)?);
    }
    Ok(references)
}

/// Returns the positions in the first cycle; the last is the first again.
fn find_cycle(references: &[Vec<usize>]) -> Option<Vec<usize>> {
    // A container is done once no path from it leads back to it. There are at most ten.
    let mut done = vec![false; references.len()];
    (0..references.len()).find_map(|start| follow(start, references, &mut Vec::new(), &mut done))
}

fn follow(
    position: usize,
    references: &[Vec<usize>],
    path: &mut Vec<usize>,
    done: &mut [bool],
) -> Option<Vec<usize>> {
    if let Some(first) = path.iter().position(|known| *known == position) {
        return Some([&path[first..], &[position]].concat());
    }
    if done[position] {
        return None;
    }
    path.push(position);
    let cycle = references[position]
        .iter()
        .find_map(|next| follow(*next, references, path, done));
    path.pop();
    done[position] = true;
    cycle
}
