//! Names, and who waits for whom: `dependsOn`, `links`, `volumesFrom`.

use super::node::{Mistake, Node, shorten};

/// Names are unique, what is referred to exists, and nobody waits for himself.
pub(super) fn check(containers: &[Node<'_>]) -> Result<(), Mistake> {
    let mut names = Vec::new();
    for container in containers {
        let name = container.text_of("name")?;
        if let (Some(text), Some(n)) = (name, names.iter().position(|known| *known == name)) {
            let text = format!(
                "{:?} is the name of {} as well",
                shorten(text),
                containers[n].path()
            );
            return Err(container.needed("name")?.mistake(text));
        }
        if let Some(text) = name {
            check_name(text)
                .map_err(|error| Mistake(format!("{}.name: {error}", container.path())))?;
        }
        names.push(name);
    }
    let waits = containers
        .iter()
        .map(|container| waits_for(container, &names))
        .collect::<Result<Vec<_>, _>>()?;
    match cycle(&waits) {
        Some(cycle) => {
            let way: Vec<_> = cycle.iter().map(|n| names[*n].unwrap_or("?")).collect();
            let text = format!("cyclic references: {} wait for each other", way.join(" → "));
            Err(containers[cycle[0]].mistake(text))
        }
        None => Ok(()),
    }
}

/// API reference, ContainerDefinition: up to 255 letters, digits, hyphens and underscores.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if (1..=255).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "{:?} is no container's name: 1 to 255 letters, digits, - and _",
        shorten(name)
    ))
}

/// Positions of the containers that this one refers to.
fn waits_for(container: &Node<'_>, names: &[Option<&str>]) -> Result<Vec<usize>, Mistake> {
    let find = |node: &Node<'_>, name: &str| {
        let position = names.iter().position(|known| *known == Some(name));
        position
            .ok_or_else(|| node.mistake(format_args!("there is no container {:?}", shorten(name))))
    };
    let mut waits = Vec::new();
    for dependency in container.elements("dependsOn")? {
        let name = dependency.needed("containerName")?;
        dependency
            .needed("condition")?
            .one_of(&["START", "COMPLETE", "SUCCESS", "HEALTHY"])?;
        waits.push(find(&name, name.text()?)?);
    }
    for link in container.elements("links")? {
        waits.push(find(
            &link,
            link.text()?.split(':').next().unwrap_or_default(),
        )?);
    }
    for volumes in container.elements("volumesFrom")? {
        let name = volumes.needed("sourceContainer")?;
        waits.push(find(&name, name.text()?)?);
    }
    Ok(waits)
}

/// The first cycle, its first member again at its end.
fn cycle(waits: &[Vec<usize>]) -> Option<Vec<usize>> {
    // A container is done once nothing behind it leads back. At most ten of them.
    let mut done = vec![false; waits.len()];
    (0..waits.len()).find_map(|start| follow(start, waits, &mut Vec::new(), &mut done))
}

fn follow(
    at: usize,
    waits: &[Vec<usize>],
    way: &mut Vec<usize>,
    done: &mut [bool],
) -> Option<Vec<usize>> {
    if let Some(first) = way.iter().position(|known| *known == at) {
        return Some([&way[first..], &[at]].concat());
    }
    if done[at] {
        return None;
    }
    way.push(at);
    let found = waits[at]
        .iter()
        .find_map(|next| follow(*next, waits, way, done));
    way.pop();
    done[at] = true;
    found
}
