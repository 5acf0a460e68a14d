//! Who we are to an object store: variables of the environment, and the files of AWS's own tools.
//!
//! What those say of an account, a region and an endpoint is read; ways to get keys that need a browser or another
//! program are not, and an error says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use object_store::aws::AmazonS3ConfigKey;

/// Variables that only say how to speak to a store, or where keys are to be had; those for keys themselves are read apart.
const PASSED_ON: [&str; 14] = [
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_METADATA_ENDPOINT",
    "AWS_IMDSV1_FALLBACK",
    "AWS_SKIP_SIGNATURE",
    "AWS_UNSIGNED_PAYLOAD",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    "AWS_REQUEST_PAYER",
    "AWS_CONDITIONAL_PUT",
];
/// Of those, the ones that say where keys are to be had.
const SOURCES_OF_KEYS: [&str; 5] = [
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
    "AWS_SKIP_SIGNATURE",
];
/// The region of buckets about which nothing is said.
const REGION: &str = "us-east-1";
/// How long such a file may be.
const MOST_BYTES: u64 = 1 << 20;

/// A key to an account. Its `Debug` form never shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({}, ..)", self.id)
    }
}

/// Who we are, and where.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Identity {
    /// None: the machine's own role, or what a variable names.
    pub(super) keys: Option<Keys>,
    pub(super) region: String,
    pub(super) endpoint: Option<String>,
    pub(super) settings: Vec<(AmazonS3ConfigKey, String)>,
    /// Whether nothing at all says where keys are: then only the machine may have a role.
    pub(super) nameless: bool,
}

type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// Finds out who we are. A `profile` that was asked for goes before the environment's keys, as with AWS's tools; one that
/// `AWS_PROFILE` names comes after them.
///
/// # Errors
/// What is wrong, as a sentence.
pub(super) fn identity(
    variables: &BTreeMap<String, String>,
    profile: Option<&str>,
) -> Result<Identity, String> {
    let variable = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
    let file = |name: &str, below: &str| {
        let home = variable("HOME").or_else(|| variable("USERPROFILE")).map(PathBuf::from);
        variable(name).map(PathBuf::from).or_else(|| Some(home?.join(".aws").join(below)))
    };
    let config = sections(file("AWS_CONFIG_FILE", "config").as_deref())?;
    let secrets = sections(file("AWS_SHARED_CREDENTIALS_FILE", "credentials").as_deref())?;
    let named = profile.map(str::to_owned).or_else(|| variable("AWS_PROFILE"));
    let name = named.clone().unwrap_or_else(|| "default".to_owned());
    let section = if name == "default" { name.clone() } else { format!("profile {name}") };
    let (of_config, of_secrets) = (config.get(&section), secrets.get(&name));
    if named.is_some() && of_config.is_none() && of_secrets.is_none() {
        return Err(format!("there is no profile {name:?} in ~/.aws/config or ~/.aws/credentials"));
    }
    let setting = |key: &str| {
        let value =
            of_secrets.and_then(|of| of.get(key)).or_else(|| of_config.and_then(|of| of.get(key)));
        value.filter(|value| !value.is_empty()).cloned()
    };
    let of_variables = || {
        keys(
            variable("AWS_ACCESS_KEY_ID"),
            variable("AWS_SECRET_ACCESS_KEY"),
            variable("AWS_SESSION_TOKEN"),
        )
    };
    let of_profile = || {
        let keys = keys(
            setting("aws_access_key_id"),
            setting("aws_secret_access_key"),
            setting("aws_session_token"),
        )?;
        match ["role_arn", "sso_session", "sso_start_url", "credential_process"]
            .into_iter()
            .find(|key| setting(key).is_some())
        {
            Some(key) if keys.is_none() || key == "role_arn" => Err(format!(
                "the profile {name:?} gets its keys by {key}, which is not done here: put them in the environment with \
                 `aws configure export-credentials --profile {name} --format env`, and leave the profile out"
            )),
            _ => Ok(keys),
        }
    };
    let keys = match (profile, of_variables()?) {
        (Some(_), _) => of_profile()?,
        (None, Some(keys)) => Some(keys),
        (None, None) => of_profile()?,
    };
    let region = variable("AWS_REGION")
        .or_else(|| variable("AWS_DEFAULT_REGION"))
        .or_else(|| setting("region"))
        .unwrap_or_else(|| REGION.to_owned());
    let of_services = || {
        let services = config.get(&format!("services {}", setting("services")?))?;
        services.get("s3.endpoint_url").cloned()
    };
    let endpoint = variable("AWS_ENDPOINT_URL_S3")
        .or_else(|| variable("AWS_ENDPOINT_URL"))
        .or_else(of_services)
        .or_else(|| setting("s3.endpoint_url"))
        .or_else(|| setting("endpoint_url"));
    let mut settings = Vec::new();
    for name in PASSED_ON {
        if let (Some(value), Ok(key)) =
            (variable(name), AmazonS3ConfigKey::from_str(&name.to_lowercase()))
        {
            settings.push((key, value));
        }
    }
    let nameless = keys.is_none() && !SOURCES_OF_KEYS.iter().any(|name| variable(name).is_some());
    if nameless
        && variable("AWS_EC2_METADATA_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return Err(NO_KEYS.to_owned());
    }
    Ok(Identity { keys, region, endpoint, settings, nameless })
}

/// What is said where nothing says who we are.
pub(super) const NO_KEYS: &str = "there are no keys for it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a \
                                  profile of ~/.aws/credentials; for a public bucket, set AWS_SKIP_SIGNATURE=true";

fn keys(
    id: Option<String>,
    secret: Option<String>,
    token: Option<String>,
) -> Result<Option<Keys>, String> {
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Some(Keys { id, secret, token })),
        (None, None) => Ok(None),
        (Some(_), None) => Err("a key has no secret: aws_secret_access_key is missing".to_owned()),
        (None, Some(_)) => Err("a secret has no key: aws_access_key_id is missing".to_owned()),
    }
}

/// The sections of a file; none if it is not there.
fn sections(path: Option<&Path>) -> Result<Sections, String> {
    let Some(path) = path else { return Ok(Sections::new()) };
    let cannot = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Sections::new()),
        Err(error) => return Err(cannot(error)),
        Ok(metadata) if metadata.len() > MOST_BYTES => {
            return Err(format!("{} is over {MOST_BYTES} bytes long", path.display()));
        }
        Ok(_) => {}
    }
    Ok(parse(&std::fs::read_to_string(path).map_err(cannot)?))
}

/// Lines of `key = value` below `[section]`. A key without a value begins a group, whose keys are indented and are named
/// `group.key` here.
fn parse(text: &str) -> Sections {
    let mut out = Sections::new();
    let (mut section, mut group) = (None, None);
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            // Both `[profile a]` and `[profile  "a"]` are written.
            let words: Vec<&str> =
                name.split_whitespace().map(|word| word.trim_matches('"')).collect();
            section = Some(words.join(" "));
            group = None;
            continue;
        }
        let (Some(section), Some((key, value))) = (&section, bare.split_once('=')) else {
            continue;
        };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        // A comment after a value needs a space before it.
        let value =
            value.split(" #").next().and_then(|value| value.split(" ;").next()).unwrap_or_default();
        let indented = line.starts_with([' ', '\t']);
        let key = match &group {
            Some(group) if indented => format!("{group}.{key}"),
            _ => {
                group = value.is_empty().then(|| key.clone());
                key
            }
        };
        out.entry(section.clone()).or_default().insert(key, value.trim().to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// A home with both files.
    fn home(config: &str, secrets: &str) -> (tempfile::TempDir, String) {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(home.path().join(".aws/config"), config).unwrap();
        std::fs::write(home.path().join(".aws/credentials"), secrets).unwrap();
        let path = home.path().to_str().unwrap().to_owned();
        (home, path)
    }

    const CONFIG: &str = "\
[default]
region = eu-central-1
# a comment
[profile minio]
region=us-west-2 ; where it says it is
endpoint_url = http://localhost:9000
[profile \"grouped\"]
services = local
s3 =
  addressing_style = path
  endpoint_url = http://nested
output = json
[services local]
s3 =
    endpoint_url = http://by-service
[profile role]
role_arn = arn:aws:iam::1:role/x
source_profile = default
[profile sso]
sso_session = corp
";
    const SECRETS: &str = "\
[default]
aws_access_key_id = D
aws_secret_access_key = d=/+
[minio]
aws_access_key_id = M
aws_secret_access_key = m
aws_session_token = t
[broken]
aws_access_key_id = B
";

    #[test]
    fn profiles_are_found_in_both_files() {
        let (_home, path) = home(CONFIG, SECRETS);
        let base = [("HOME", path.as_str())];
        let default = identity(&variables(&base), None).unwrap();
        let keys = |id: &str, secret: &str, token: Option<&str>| {
            Some(Keys {
                id: id.to_owned(),
                secret: secret.to_owned(),
                token: token.map(str::to_owned),
            })
        };
        assert_eq!(
            (default.keys, default.region.as_str()),
            (keys("D", "d=/+", None), "eu-central-1")
        );
        assert_eq!(default.endpoint, None);
        let minio = identity(&variables(&base), Some("minio")).unwrap();
        assert_eq!((minio.keys, minio.region.as_str()), (keys("M", "m", Some("t")), "us-west-2"));
        assert_eq!(minio.endpoint.as_deref(), Some("http://localhost:9000"));
        let grouped = identity(&variables(&base), Some("grouped")).unwrap();
        assert_eq!(grouped.endpoint.as_deref(), Some("http://by-service"));
        assert!(grouped.nameless && grouped.region == "us-east-1");
        let named = variables(&[base[0], ("AWS_PROFILE", "minio")]);
        assert_eq!(identity(&named, None).unwrap().keys, keys("M", "m", Some("t")));
    }

    #[test]
    fn what_was_asked_for_goes_first() {
        let (_home, path) = home(CONFIG, SECRETS);
        let with = [
            ("HOME", path.as_str()),
            ("AWS_ACCESS_KEY_ID", "E"),
            ("AWS_SECRET_ACCESS_KEY", "e"),
            ("AWS_PROFILE", "minio"),
            ("AWS_REGION", "ap-south-1"),
            ("AWS_ENDPOINT_URL", "http://elsewhere"),
            ("AWS_SKIP_SIGNATURE", "false"),
        ];
        let of_variables = identity(&variables(&with), None).unwrap();
        assert_eq!(of_variables.keys.unwrap().id, "E");
        assert_eq!(of_variables.region, "ap-south-1");
        assert_eq!(of_variables.settings, [(AmazonS3ConfigKey::SkipSignature, "false".to_owned())]);
        let asked = identity(&variables(&with), Some("default")).unwrap();
        assert_eq!(asked.keys.unwrap().id, "D");
        assert_eq!(asked.endpoint.as_deref(), Some("http://elsewhere"));
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let (_home, path) = home(CONFIG, SECRETS);
        let base = variables(&[("HOME", &path)]);
        let error = |profile: &str| identity(&base, Some(profile)).unwrap_err();
        assert!(error("none").contains("no profile \"none\""));
        assert!(error("role").contains("role_arn") && error("role").contains("export-credentials"));
        assert!(error("sso").contains("sso_session"));
        assert!(error("broken").contains("aws_secret_access_key"));
        let nobody = variables(&[("AWS_EC2_METADATA_DISABLED", "true")]);
        assert!(identity(&nobody, None).unwrap_err().contains("AWS_ACCESS_KEY_ID"));
        assert!(identity(&BTreeMap::new(), None).unwrap().nameless);
    }

    #[test]
    fn secrets_are_not_shown() {
        let keys =
            Keys { id: "ID".to_owned(), secret: "hush".to_owned(), token: Some("hush".to_owned()) };
        assert!(!format!("{keys:?}").contains("hush"));
    }
}
