//! The platforms we build for, as `npm/platforms.json` describes them.

use std::{fmt, fs};

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::workspace::Workspace;

const FILE: &str = "npm/platforms.json";

/// The packages that differ from platform to platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The addon of `agbcloud-sdk`.
    Sdk,
    /// The server of `agbcloud-local`.
    Local,
}

impl Kind {
    pub(crate) const ALL: [Kind; 2] = [Kind::Sdk, Kind::Local];

    /// Its folder below `npm/`, which is also its name in the file.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Kind::Sdk => "sdk",
            Kind::Local => "local",
        }
    }
}

/// A C library of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Libc<'a> {
    /// With the oldest version that the programs may need.
    Glibc(&'a str),
    Musl,
}

impl fmt::Display for Libc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Libc::Glibc(oldest) => write!(f, "glibc {oldest}"),
            Libc::Musl => f.write_str("musl"),
        }
    }
}

/// `npm/platforms.json`.
pub(crate) struct Platforms {
    content: Value,
}

impl Platforms {
    pub(crate) fn read(workspace: &Workspace) -> Result<Self, Error> {
        let path = workspace.path(FILE);
        let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
        let content =
            serde_json::from_str(&text).map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
        Ok(Platforms { content })
    }

    /// All rows.
    pub(crate) fn all(&self) -> Result<Vec<Platform<'_>>, Error> {
        Ok(self.rows()?.iter().map(|row| Platform { row, template: &self.content["template"] }).collect())
    }

    /// The row of this name.
    pub(crate) fn named(&self, name: &str) -> Result<Platform<'_>, Error> {
        let all = self.all()?;
        let names: Vec<&str> = all.iter().map(Platform::name).collect::<Result<_, _>>()?;
        let unknown = || Error::Usage(format!("no platform is called {name}; there are {}", names.join(", ")));
        self.find(name)?.ok_or_else(unknown)
    }

    /// The row of the machine that we run on.
    pub(crate) fn host(&self) -> Result<Platform<'_>, Error> {
        let (os, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
        host_name().and_then(|name| self.find(name).transpose())
            .unwrap_or_else(|| {
                Err(Error::Failed(format!(
                    "{FILE} has no row for {os} on {architecture}: it lists what was built and tested. Add one to build here"
                )))
            })
    }

    fn find(&self, name: &str) -> Result<Option<Platform<'_>>, Error> {
        Ok(self.all()?.into_iter().find(|platform| platform.row["platform"] == name))
    }

    fn rows(&self) -> Result<&Vec<Value>, Error> {
        self.content["platforms"].as_array().ok_or_else(|| Error::Failed(format!("{FILE} lists no platforms")))
    }
}

/// One platform.
pub(crate) struct Platform<'a> {
    row: &'a Value,
    template: &'a Value,
}

impl Platform<'_> {
    pub(crate) fn name(&self) -> Result<&str, Error> {
        text(self.row, "platform")
    }

    /// Whether it is the machine that we run on.
    pub(crate) fn is_host(&self) -> bool {
        host_name().is_some_and(|name| self.row["platform"] == name)
    }

    pub(crate) fn package_name(&self, kind: Kind) -> Result<&str, Error> {
        text(&self.row[kind.folder()], "name")
    }

    /// What cargo calls the machine.
    pub(crate) fn target(&self) -> Result<&str, Error> {
        text(self.row, "target")
    }

    /// The C library that the programs are for; none where a system has but one.
    pub(crate) fn libc(&self) -> Option<Libc<'_>> {
        match self.row["glibc"].as_str() {
            Some(oldest) => Some(Libc::Glibc(oldest)),
            None => (self.row["libc"] == "musl").then_some(Libc::Musl),
        }
    }

    /// What cargo calls the program.
    pub(crate) fn artifact(&self, kind: Kind) -> Result<&str, Error> {
        text(&self.row[kind.folder()], "artifact")
    }

    /// Where the package has the program.
    pub(crate) fn file(&self, kind: Kind) -> Result<&str, Error> {
        text(&self.row[kind.folder()], "file")
    }

    /// The `package.json` of this platform's package; what it does not say itself is as in its parent's.
    pub(crate) fn manifest(&self, kind: Kind, parent: &Value) -> Result<Value, Error> {
        let template = &self.template[kind.folder()];
        let mut manifest = Map::new();
        manifest.insert("name".into(), self.package_name(kind)?.into());
        let description = text(template, "description")?.replace("{platform}", self.name()?);
        manifest.insert("description".into(), description.into());
        for inherited in ["version", "type", "license", "homepage", "bugs", "repository", "engines"] {
            if let Some(value) = parent.get(inherited) {
                manifest.insert(inherited.into(), value.clone());
            }
        }
        for restriction in ["os", "cpu", "libc"] {
            if let Some(value) = self.row[restriction].as_str() {
                manifest.insert(restriction.into(), json!([value]));
            }
        }
        let file = self.file(kind)?;
        if template["main"] == true {
            manifest.insert("main".into(), file.into());
        }
        manifest.insert("files".into(), json!([file]));
        // Yarn's Plug'n'Play would leave it in an archive, from which no program can be started.
        manifest.insert("preferUnplugged".into(), true.into());
        Ok(manifest.into())
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, Error> {
    value[key].as_str().ok_or_else(|| Error::Failed(format!("{FILE}: a {key} is missing")))
}

/// The platform of the machine that we run on.
fn host_name() -> Option<&'static str> {
    name(std::env::consts::OS, std::env::consts::ARCH, cfg!(target_env = "musl"))
}

fn name(os: &str, architecture: &str, musl: bool) -> Option<&'static str> {
    Some(match (os, architecture, musl) {
        ("linux", "x86_64", false) => "linux-x64-gnu",
        ("linux", "x86_64", true) => "linux-x64-musl",
        ("linux", "aarch64", false) => "linux-arm64-gnu",
        ("linux", "aarch64", true) => "linux-arm64-musl",
        ("macos", "x86_64", _) => "darwin-x64",
        ("macos", "aarch64", _) => "darwin-arm64",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platforms() -> Platforms {
        Platforms::read(&Workspace::find().unwrap()).unwrap()
    }

    #[test]
    fn every_platform_in_the_file_is_found_on_its_machine() {
        let platforms = platforms();
        let mut machines = Vec::new();
        for os in ["linux", "macos"] {
            for architecture in ["x86_64", "aarch64"] {
                machines.extend([false, true].map(|musl| name(os, architecture, musl).unwrap()));
            }
        }
        for row in platforms.rows().unwrap() {
            let platform = text(row, "platform").unwrap();
            assert!(machines.contains(&platform), "{platform}");
            for kind in Kind::ALL {
                assert!(text(&row[kind.folder()], "name").unwrap().ends_with(platform));
            }
        }
        assert_eq!(name("plan9", "x86_64", false), None);
        assert!(platforms.host().is_ok());
    }

    #[test]
    fn package_names_are_unique() {
        let platforms = platforms();
        let mut names = Vec::new();
        for platform in platforms.all().unwrap() {
            names.extend(Kind::ALL.map(|kind| platform.package_name(kind).unwrap().to_owned()));
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn makes_manifests() {
        let row = |platform: &str, libc: Value| {
            let of = |kind: &str, file: &str| json!({ "name": format!("agbcloud-{kind}-{platform}"), "file": file });
            json!({ "platform": platform, "libc": libc, "sdk": of("sdk", "addon.node"), "local": of("local", "bin/agb-server") })
        };
        let mut content = platforms().content;
        content["platforms"] = json!([row("linux-x64-gnu", json!("glibc")), row("darwin-arm64", Value::Null)]);
        let platforms = Platforms { content };
        let parent = json!({
            "version": "1.2.3", "license": "MIT", "main": "./dist/node.js", "homepage": "https://h", "bugs": "https://b",
        });
        let gnu = platforms.find("linux-x64-gnu").unwrap().unwrap();
        let manifest = gnu.manifest(Kind::Sdk, &parent).unwrap();
        assert_eq!(manifest["name"], "agbcloud-sdk-linux-x64-gnu");
        assert_eq!(manifest["version"], "1.2.3");
        assert_eq!(manifest["main"], "addon.node");
        assert_eq!((&manifest["homepage"], &manifest["bugs"]), (&json!("https://h"), &json!("https://b")));
        assert_eq!(manifest["libc"], json!(["glibc"]));
        let mac = platforms.find("darwin-arm64").unwrap().unwrap();
        let manifest = mac.manifest(Kind::Local, &parent).unwrap();
        assert_eq!(manifest["files"], json!(["bin/agb-server"]));
        assert_eq!(manifest["preferUnplugged"], true);
        assert_eq!((manifest.get("main"), manifest.get("libc")), (None, None));
    }
}
