//! Placeholders of unrendered templates: `<IMAGE1_NAME>`, `${IMAGE}`, `{{ image }}`, `$IMAGE`,
//! `%IMAGE%`, `__IMAGE__`, `((image))`, `${{ github.sha }}`, and words such as `YOUR_ACCOUNT_ID`.

/// What fills placeholders of this form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaceholderStyle {
    /// `${{ github.sha }}`
    Actions,
    /// `<IMAGE1_NAME>`
    CodeDeploy,
    /// `<image>`
    AngleBrackets,
    /// `${var.image}`, `${jsonencode(x)}`
    Terraform,
    /// `${IMAGE}`, which Terraform's templates have as well.
    Braces,
    /// `$IMAGE`
    Shell,
    /// `$(Image)`
    AzurePipelines,
    /// `{{ image }}`
    Jinja,
    /// ``{{ must_env `IMAGE` }}``
    Ecspresso,
    /// `{{ .Values.image }}`
    GoTemplate,
    /// `{{resolve:ssm:/image}}`
    CloudFormation,
    /// `%IMAGE%`
    PercentSigns,
    /// `@IMAGE@`
    AtSigns,
    /// `__IMAGE__`
    Underscores,
    /// `#{Image}#`
    Octopus,
    /// `((image))`
    Concourse,
    /// `[[image]]`
    Brackets,
    /// `<%= image %>`
    Erb,
    /// `%(image)s`
    Python,
    /// `YOUR_ACCOUNT_ID`, `PLACEHOLDER`
    Word,
}

impl PlaceholderStyle {
    /// Returns a noun phrase that can follow "is".
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Actions => "a GitHub Actions expression",
            Self::CodeDeploy => "a CodeDeploy placeholder",
            Self::AngleBrackets => "a placeholder in angle brackets, as in CodeDeploy",
            Self::Terraform => "a Terraform expression",
            Self::Braces => "an envsubst or Terraform placeholder",
            Self::Shell => "an envsubst or shell placeholder",
            Self::AzurePipelines => "an Azure Pipelines variable",
            Self::Jinja => "a Jinja or Mustache placeholder",
            Self::Ecspresso => "an ecspresso placeholder (`ecspresso render taskdef` fills it in)",
            Self::GoTemplate => "a Go template placeholder",
            Self::CloudFormation => "a CloudFormation dynamic reference",
            Self::PercentSigns => "a placeholder between percent signs",
            Self::AtSigns => "a placeholder between at signs",
            Self::Underscores => "a placeholder between underscores",
            Self::Octopus => "an Octopus or Azure DevOps placeholder",
            Self::Concourse => "a Concourse placeholder",
            Self::Brackets => "a placeholder in square brackets",
            Self::Erb => "an ERB placeholder",
            Self::Python => "a placeholder of Python's formatting",
            Self::Word => "a placeholder",
        }
    }
}

/// A placeholder in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placeholder<'a> {
    /// Byte offset of its first character.
    pub start: usize,
    /// The whole placeholder.
    pub text: &'a str,
    /// Its name, as `--set` takes it.
    pub name: &'a str,
    pub style: PlaceholderStyle,
}

impl Placeholder<'_> {
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Bytes of a placeholder. Longer text between two marks is prose.
const MAX_PLACEHOLDER: usize = 300;

/// Returns the placeholders that have marks, from left to right. Words are not among them.
pub(super) fn find(text: &str) -> Vec<Placeholder<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find(['$', '<', '{', '%', '_', '#', '@', '(', '[']) {
        at += offset;
        let before = text[..at].chars().next_back();
        match begins(&text[at..], before) {
            Some((length, name, style)) => {
                let text = &text[at..at + length];
                found.push(Placeholder {
                    start: at,
                    text,
                    name,
                    style,
                });
                at += length;
            }
            // All marks have one byte.
            None => at += 1,
        }
    }
    found
}

/// Bytes of a value in which positions are compared with those of placeholders. ECS takes no longer
/// image or ARN.
const MAX_VALUE: usize = 4_096;

/// Returns the placeholders of a value; of one that is too long for ECS, none.
pub(super) fn find_in_value(text: &str) -> Vec<Placeholder<'_>> {
    if text.len() > MAX_VALUE {
        return Vec::new();
    }
    find(text)
}

/// Returns length, name and style of the placeholder that `text` begins with.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(super) fn begins(text: &str, before: Option<char>) -> Option<(usize, &str, PlaceholderStyle)> {
    use PlaceholderStyle::{
        Actions, AngleBrackets, AtSigns, AzurePipelines, Brackets, CodeDeploy, Concourse, Erb,
        Jinja, Octopus, PercentSigns, Python, Shell, Underscores,
    };
    let between = |open: &str, close: &str| {
        let inside = text.strip_prefix(open)?;
        let mut near = inside.len().min(MAX_PLACEHOLDER + close.len());
        while !inside.is_char_boundary(near) {
            near -= 1;
        }
        let end = inside[..near].find(close)?;
        let inside = &inside[..end];
        let is_short = inside.len() <= MAX_PLACEHOLDER && !inside.contains('\n');
        (is_short && !inside.trim().is_empty())
            .then_some((open.len() + end + close.len(), inside.trim()))
    };
    if let Some((length, name)) = between("${{", "}}") {
        return Some((length, name, Actions));
    }
    if let Some(length) = braced(text) {
        let inside = text[2..length - 1].trim();
        let (name, style) = in_braces(inside);
        return (!name.is_empty()).then_some((length, name, style));
    }
    if let Some((length, name)) = between("{{", "}}") {
        let trimmed = name.trim_matches(['-', '{', '}', ' ', '`']);
        let braces = text[length..].starts_with('}') && text.starts_with("{{{");
        let style = match trimmed {
            go if go.starts_with('.') => PlaceholderStyle::GoTemplate,
            reference if reference.starts_with("resolve:") => PlaceholderStyle::CloudFormation,
            // Its functions take Go's raw strings: env, must_env, tfstate, ssm and others.
            _ if name.contains('`') => PlaceholderStyle::Ecspresso,
            _ => Jinja,
        };
        let name = match style {
            PlaceholderStyle::Ecspresso => of_call(name.trim_matches(['-', ' '])),
            _ => trimmed,
        };
        return Some((length + usize::from(braces), name, style));
    }
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-: ".contains(c))
    };
    if let Some((length, name)) = between("$(", ")").filter(|(_, name)| is_name(name)) {
        return Some((length, name, AzurePipelines));
    }
    if let Some((length, name)) = between("#{", "}").filter(|(_, name)| is_name(name)) {
        let more = usize::from(text[length..].starts_with('#'));
        return Some((length + more, name, Octopus));
    }
    for (open, close, style) in [
        ("((", "))", Concourse),
        ("[[", "]]", Brackets),
        ("%(", ")s", Python),
    ] {
        if let Some((length, name)) = between(open, close).filter(|(_, name)| is_name(name)) {
            return Some((length, name, style));
        }
    }
    if let Some((length, name)) = between("<%", "%>") {
        return Some((length, name.trim_start_matches(['=', '-', ' ']), Erb));
    }
    if let Some((length, name)) = between("<", ">").filter(|(_, name)| is_name(name)) {
        let code_deploy = name.starts_with("IMAGE") && name.ends_with("_NAME");
        let style = if code_deploy {
            CodeDeploy
        } else {
            AngleBrackets
        };
        return Some((length, name, style));
    }
    let is_word = |name: &str| {
        let is_octet = name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        !is_octet
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    // `%E2%82%AC` in a URL has two hexadecimal digits between the marks.
    if let Some((length, name)) = between("%", "%").filter(|(_, name)| is_word(name)) {
        return Some((length, name, PercentSigns));
    }
    let is_capitals = |name: &str| name.bytes().all(|byte| !byte.is_ascii_lowercase());
    if let Some((length, name)) =
        between("@", "@").filter(|(_, name)| is_word(name) && is_capitals(name))
    {
        return Some((length, name, AtSigns));
    }
    let is_inside_word = before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    if let Some((length, name)) = between("__", "__")
        && is_word(name.trim_matches('_'))
        && !is_inside_word
        && !text[length..].starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        return Some((length, name, Underscores));
    }
    let name = text.strip_prefix('$').filter(|_| before != Some('$'))?;
    let end = name
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(name.len());
    let name = &name[..end];
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        .then_some((end + 1, name, Shell))
}

/// Returns the length of `${…}`, whose braces and quotes may be nested.
fn braced(text: &str) -> Option<usize> {
    text.strip_prefix("${")?;
    let mut depth = 0_usize;
    for (at, c) in text.char_indices().take(MAX_PLACEHOLDER) {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth -= 1,
            '\n' => return None,
            _ => {}
        }
    }
    None
}

/// Returns the name of a call of ecspresso: the variable of ``must_env `IMAGE` ``, otherwise the
/// whole.
fn of_call(call: &str) -> &str {
    let variable = ["env ", "must_env "]
        .iter()
        .find_map(|function| call.strip_prefix(function));
    variable
        .and_then(|argument| argument.split('`').nth(1))
        .filter(|name| !name.is_empty())
        .unwrap_or(call)
}

/// Returns name and style of the content of `${…}`.
fn in_braces(inside: &str) -> (&str, PlaceholderStyle) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // `${IMAGE:-nginx}`
    let name = inside.split_once(":-").map_or(inside, |(name, _)| name);
    if name.chars().all(is_plain) || name.starts_with("AWS::") {
        (name, PlaceholderStyle::Braces)
    } else {
        (name, PlaceholderStyle::Terraform)
    }
}

/// Whether the word is a placeholder wherever it occurs.
pub(super) fn is_word(word: &str) -> bool {
    let upper = word.to_ascii_uppercase().replace('-', "_");
    let is_filler = |c: char| word.len() >= 4 && word.chars().all(|other| other == c);
    [
        "PLACEHOLDER",
        "TBD",
        "CHANGEME",
        "CHANGE_ME",
        "REPLACEME",
        "FIXME",
    ]
    .contains(&&*upper)
        || upper.starts_with("YOUR_")
        || upper.strip_prefix("YOUR").is_some_and(is_owned)
        || upper.starts_with("REPLACE_")
        || upper.ends_with("_PLACEHOLDER")
        || upper.starts_with("PLACEHOLDER_")
        || is_filler('x')
        || is_filler('X')
}

/// Whether a noun follows "your", as in `yourimage`. There are images such as `yourls`.
fn is_owned(noun: &str) -> bool {
    let nouns = [
        "ACCOUNT",
        "APP",
        "AWS",
        "COMPANY",
        "CONTAINER",
        "DOCKER",
        "ECR",
        "IMAGE",
        "NAME",
        "ORG",
        "PROJECT",
        "REGION",
        "REGISTRY",
        "REPO",
        "TAG",
        "USER",
    ];
    nouns.iter().any(|known| noun.starts_with(known))
}

/// Returns the end of a secret's name that stands for the six characters which Secrets Manager
/// adds, with its hyphen: of `db-XXXXXX`, `db-<RANDOM_SUFFIX>` and such.
pub(super) fn secret_suffix(name: &str) -> Option<&str> {
    let (before, end) = name.rsplit_once('-')?;
    let mark = find_in_value(end);
    let word = match mark.as_slice() {
        [only] if only.text == end => only.name,
        [] => end,
        _ => return None,
    };
    let upper = word.to_ascii_uppercase();
    let is_filler = word.len() == 6 && upper.bytes().all(|byte| byte == b'X');
    let is_named = upper == word || !mark.is_empty();
    let stands =
        is_filler || (is_named && ["SUFFIX", "RANDOM"].iter().any(|noun| upper.contains(noun)));
    (stands && !before.is_empty()).then(|| &name[before.len()..])
}

/// Whether the word stands for an account ID.
pub(super) fn is_account_word(word: &str) -> bool {
    let upper = word.to_ascii_uppercase().replace('-', "_");
    is_word(word)
        || [
            "ACCOUNT",
            "ACCOUNT_ID",
            "ACCOUNTID",
            "ACCOUNT_NUMBER",
            "ACCT",
            "ACCT_ID",
        ]
        .contains(&upper.strip_prefix("AWS_").unwrap_or(&upper))
        || upper.contains("ACCOUNT_ID")
        // AWS gives no account this ID; examples and LocalStack have it.
        || word == "000000000000"
}

/// Whether the word stands for a Region.
pub(super) fn is_region_word(word: &str) -> bool {
    is_word(word) || word.to_ascii_uppercase().contains("REGION")
}

/// Returns the first part of an image reference that is a placeholder word. No registry takes
/// capital letters in a repository, so a part in capitals stands for something; in a tag they are
/// allowed, and only some words count.
pub(super) fn image_word(image: &str) -> Option<&str> {
    let is_between = |open, close| {
        let inside = image.strip_prefix(open)?.strip_suffix(close)?;
        inside
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_- .".contains(&byte))
            .then_some(image)
    };
    let marks = [('{', '}'), ('[', ']'), ('!', '!'), ('~', '~'), ('*', '*')];
    if let Some(image) = marks
        .iter()
        .find_map(|(open, close)| is_between(*open, *close))
    {
        return Some(image);
    }
    if matches!(image, "..." | "…") {
        return Some(image);
    }
    let (named, tag) = split_tag(image);
    let is_capitals = |part: &str| {
        part.len() > 1
            && part.starts_with(|c: char| c.is_ascii_uppercase())
            && part
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "_-".contains(c))
    };
    let stands_for_image = |part: &str| {
        let upper = part.to_ascii_uppercase().replace('-', "_");
        let noun = ["IMAGE", "REPOSITORY", "REPO", "ECR", "REGISTRY"]
            .iter()
            .any(|noun| upper.starts_with(noun));
        noun && ["_NAME", "_URI", "_URL", "_PLACEHOLDER"]
            .iter()
            .any(|end| upper.ends_with(end))
    };
    let in_name = named.split(['/', '.', ':', '@']).find(|part| {
        is_capitals(part)
            || is_account_word(part)
            || stands_for_image(part)
            || (part.eq_ignore_ascii_case("region") && named.contains(".dkr.ecr."))
    });
    in_name.or_else(|| tag.filter(|tag| is_tag_word(tag)))
}

/// Whether the tag is a word such as `VERSION` or `IMAGE_TAG`.
fn is_tag_word(tag: &str) -> bool {
    let nouns = ["TAG", "VERSION", "SHA", "BUILD", "COMMIT", "HASH"];
    let is_noun = |part: &str| nouns.contains(&part);
    is_word(tag)
        || (tag.chars().all(|c| c.is_ascii_uppercase() || c == '_') && tag.split('_').any(is_noun))
}

/// Splits an image into what names the repository, and its tag or digest.
pub(super) fn split_tag(image: &str) -> (&str, Option<&str>) {
    if let Some((named, digest)) = image.split_once('@') {
        return (named, Some(digest));
    }
    // A placeholder may contain a colon and a slash; neither ends the repository.
    let marks = find_in_value(image);
    let is_marked = |at: usize| marks.iter().any(|mark| mark.start <= at && at < mark.end());
    let slash = image
        .rmatch_indices('/')
        .map(|(at, _)| at)
        .find(|at| !is_marked(*at))
        .unwrap_or_default();
    let colon = image[slash..]
        .match_indices(':')
        .map(|(at, _)| slash + at)
        .find(|at| !is_marked(*at));
    match colon {
        Some(colon) => (&image[..colon], Some(&image[colon + 1..])),
        None => (image, None),
    }
}

/// Fills the placeholders that `values` name, last value first. Returns the text, and the names
/// that filled nothing.
pub(super) fn fill<'a>(text: &str, values: &'a [(String, String)]) -> (String, Vec<&'a str>) {
    if values.is_empty() {
        return (text.to_owned(), Vec::new());
    }
    let value_of = |name: &str| {
        let mut values = values.iter().rev();
        values.find(|(known, _)| known == name)
    };
    let mut used = Vec::new();
    let mut filled = String::with_capacity(text.len());
    let mut at = 0;
    for mark in find(text) {
        if let Some((name, value)) = value_of(mark.name) {
            filled.push_str(&text[at..mark.start]);
            filled.push_str(value);
            at = mark.end();
            used.push(name.as_str());
        }
    }
    filled.push_str(&text[at..]);
    for (name, value) in values {
        if is_account_word(name) || is_region_word(name) {
            let replaced = replace_word(&filled, name, value);
            if replaced != filled {
                used.push(name);
                filled = replaced;
            }
        }
    }
    let unused = values.iter().map(|(name, _)| name.as_str());
    (filled, unused.filter(|name| !used.contains(name)).collect())
}

/// Replaces a whole word.
fn replace_word(text: &str, word: &str, value: &str) -> String {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut replaced = String::with_capacity(text.len());
    let mut at = 0;
    for (start, _) in text.match_indices(word) {
        let end = start + word.len();
        let is_whole = !text[..start].ends_with(is_inside) && !text[end..].starts_with(is_inside);
        if start >= at && is_whole {
            replaced.push_str(&text[at..start]);
            replaced.push_str(value);
            at = end;
        }
    }
    replaced.push_str(&text[at..]);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_is_found_with_its_name() {
        use PlaceholderStyle::*;
        for (text, name, style) in [
            ("<IMAGE1_NAME>", "IMAGE1_NAME", CodeDeploy),
            ("<image uri>", "image uri", AngleBrackets),
            ("${IMAGE}", "IMAGE", Braces),
            ("${IMAGE:-nginx:1}", "IMAGE", Braces),
            ("${AWS::Region}", "AWS::Region", Braces),
            ("${var.image}", "var.image", Terraform),
            ("${jsonencode({a = 1})}", "jsonencode({a = 1})", Terraform),
            ("$IMAGE", "IMAGE", Shell),
            ("$(Build.BuildId)", "Build.BuildId", AzurePipelines),
            ("{{ image }}", "image", Jinja),
            ("{{{image}}}", "image", Jinja),
            ("{{ must_env `IMAGE` }}", "IMAGE", Ecspresso),
            ("{{ env `IMAGE` `nginx` }}", "IMAGE", Ecspresso),
            ("{{ ssm `/image` }}", "ssm `/image`", Ecspresso),
            ("@IMAGE@", "IMAGE", AtSigns),
            (
                "{{resolve:ssm:/image:1}}",
                "resolve:ssm:/image:1",
                CloudFormation,
            ),
            ("{{ .Values.image }}", ".Values.image", GoTemplate),
            ("%IMAGE%", "IMAGE", PercentSigns),
            ("__IMAGE__", "IMAGE", Underscores),
            ("#{Image}#", "Image", Octopus),
            ("((image))", "image", Concourse),
            ("[[image]]", "image", Brackets),
            ("<%= image %>", "image", Erb),
            ("%(image)s", "image", Python),
            ("${{ github.sha }}", "github.sha", Actions),
        ] {
            let around = format!("a/{text}/b");
            let found = find(&around);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert_eq!(
                (found[0].text, found[0].name, found[0].style),
                (text, name, style)
            );
        }
    }

    #[test]
    fn lookalikes_are_not_placeholders() {
        for text in [
            "nginx:1.27",
            "a__b__c",
            "100%",
            "a%2Fb%2Fc%E2%82%AC",
            "cost: 5$",
            "a < b",
            "$$HOME",
            "{\"a\": {}}",
            "/ecs/web",
            "my_app__v1",
        ] {
            assert_eq!(find(text), [], "{text}");
        }
        for image in [
            "nginx",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:RELEASE",
            "ghcr.io/acme/app:v1",
            "accounts/api:1",
            "localhost:5000/app",
        ] {
            assert_eq!(image_word(image), None, "{image}");
        }
        for image in [
            "IMAGE_URI",
            "YOUR_ACCOUNT_ID.dkr.ecr.eu-west-1.amazonaws.com/a",
            "aws_account_id.dkr.ecr.region.amazonaws.com/a",
            "xxxxxxxxxxxx.dkr.ecr.us-east-1.amazonaws.com/a:1",
            "acme/app:IMAGE_TAG",
            "placeholder",
            "acme/TBD",
        ] {
            assert!(image_word(image).is_some(), "{image}");
        }
    }

    #[test]
    fn the_time_does_not_grow_with_the_square_of_the_text() {
        let started = std::time::Instant::now();
        for mark in [
            "<", "$", "{{", "%", "__", "${", "#{", "$(", "((", "[[", "%(", "<%",
        ] {
            let text = mark.repeat(40_000);
            assert!(find(&text).len() <= text.len());
            split_tag(&text);
        }
        assert!(started.elapsed().as_secs() < 20);
    }

    #[test]
    fn a_suffix_of_a_secret_is_told_from_its_name() {
        for (name, suffix) in [
            ("db-XXXXXX", Some("-XXXXXX")),
            ("prod/db-xxxxxx", Some("-xxxxxx")),
            ("db-SUFFIX", Some("-SUFFIX")),
            ("db-<RANDOM_SUFFIX>", Some("-<RANDOM_SUFFIX>")),
            ("db-${suffix}", Some("-${suffix}")),
            ("db-${ENVIRONMENT}", None),
            ("db-suffix", None),
            ("db-AbCd12", None),
            ("db", None),
            ("-XXXXXX", None),
        ] {
            assert_eq!(secret_suffix(name), suffix, "{name}");
        }
    }

    #[test]
    fn a_tag_is_split_off_outside_of_placeholders() {
        for (image, named, tag) in [
            ("app:${TAG}", "app", Some("${TAG}")),
            ("app:${{ github.sha }}", "app", Some("${{ github.sha }}")),
            ("r:5000/app", "r:5000/app", None),
            ("r:5000/${a:-b/c}:1", "r:5000/${a:-b/c}", Some("1")),
            ("a@${DIGEST}", "a", Some("${DIGEST}")),
            ("${AWS::AccountId}.dkr/x", "${AWS::AccountId}.dkr/x", None),
        ] {
            assert_eq!(split_tag(image), (named, tag), "{image}");
        }
    }

    #[test]
    fn set_fills_every_form_and_names_what_it_did_not() {
        let values = [
            ("X".to_owned(), "1".to_owned()),
            ("Y".to_owned(), "2".to_owned()),
        ];
        let (text, unused) = fill("${X} $X <X> {{ X }} %X% __X__ ${{ X }} $XX XX", &values);
        assert_eq!(text, "1 1 1 1 1 1 1 $XX XX");
        assert_eq!(unused, ["Y"]);
        let account = [("ACCOUNT_ID".to_owned(), "123456789012".to_owned())];
        let (text, unused) = fill("ACCOUNT_ID.dkr MY_ACCOUNT_ID ${ACCOUNT_ID}", &account);
        assert_eq!(text, "123456789012.dkr MY_ACCOUNT_ID 123456789012");
        assert!(unused.is_empty());
    }
}
