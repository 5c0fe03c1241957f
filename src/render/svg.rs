//! Text in SVG, which does not break lines by itself.

/// Breaks a text into lines of at most `chars` characters, after a space or punctuation mark if
/// there is one.
pub(super) fn break_lines(text: &str, chars: usize) -> Vec<String> {
    let chars = chars.max(1);
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    while rest.len() > chars {
        let marks = ".-/,";
        let behind = |mark: &dyn Fn(char) -> bool, least: usize| {
            (least.max(1)..=chars).rev().find(|end| mark(rest[end - 1]))
        };
        let end = behind(&|c| c == ' ', chars / 3)
            .or_else(|| behind(&|c| marks.contains(c), chars / 2))
            .unwrap_or(chars);
        let line: String = rest.drain(..end).collect();
        lines.push(line);
    }
    lines.push(rest.into_iter().collect());
    lines
}

#[cfg(test)]
mod tests {
    use super::break_lines;

    #[test]
    fn lines_lose_no_character_and_are_never_too_long() {
        for (length, chars) in (0..200).zip([44, 14, 2].into_iter().cycle()) {
            let text: String = "prod-eu-west-1.starport layer/bucket:"
                .chars()
                .cycle()
                .take(length)
                .collect();
            let lines = break_lines(&text, chars);
            assert_eq!(lines.concat(), text);
            assert!(lines.iter().all(|line| line.chars().count() <= chars));
            let solid = "x".repeat(length);
            assert_eq!(break_lines(&solid, chars).concat(), solid);
        }
    }
}
