//! The image without a container engine: the files that the Containerfile asks for, put together in a
//! folder, and its entry point started there as its user, with its environment and nothing else.

use super::super::support::{BIN, json_of, text};
use super::{configured, deploy, root};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a Containerfile's last stage says.
#[derive(Debug, Default)]
struct Image {
    copies: Vec<(Vec<String>, String, String)>,
    env: BTreeMap<String, String>,
    user: String,
    entry: Vec<String>,
    words: Vec<String>,
    health: Vec<String>,
}

/// The words of a JSON list, as instructions in their exec form have them.
fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

impl Image {
    fn read(file: &str) -> Self {
        let joined = file.replace("\\\n", " ");
        let mut image = Self::default();
        for line in joined.lines().filter(|l| !l.starts_with('#')) {
            let Some((instruction, rest)) = line.split_once(' ') else {
                continue;
            };
            match instruction {
                // What an earlier stage makes is only what the last one copies from it.
                "FROM" => image = Self::default(),
                "COPY" => {
                    let words = rest.split_whitespace().map(str::to_owned);
                    let (flags, paths): (Vec<_>, Vec<_>) = words.partition(|w| w.starts_with("--"));
                    let [from, to] = paths.try_into().unwrap();
                    image.copies.push((flags, from, to));
                }
                "ENV" => {
                    let (name, value) = rest.split_once('=').unwrap();
                    image.env.insert(name.to_owned(), value.to_owned());
                }
                "USER" => rest.clone_into(&mut image.user),
                "ENTRYPOINT" => image.entry = list(rest),
                "CMD" => image.words = list(rest),
                "HEALTHCHECK" => image.health = list(rest.split_once("CMD ").unwrap().1),
                "ARG" | "LABEL" | "RUN" | "WORKDIR" | "VOLUME" | "EXPOSE" | "STOPSIGNAL" => {}
                other => panic!("{other} is not known here"),
            }
        }
        image
    }

    /// The base has the libraries that the program is linked with; everything else is copied.
    fn build(&self, tree: &Path) {
        let copy = |from: &Path| {
            let to = tree.join(from.strip_prefix("/").unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        };
        let linked = Command::new("ldd").arg(BIN).output().unwrap();
        let linked = text(&linked.stdout);
        let libraries = linked.split_whitespace().filter(|w| w.starts_with('/'));
        let libraries: Vec<&Path> = libraries.map(Path::new).collect();
        // What distroless/cc has, and no library more.
        for library in &libraries {
            let name = library.file_name().unwrap().to_str().unwrap();
            let known = [
                "libc.",
                "libm.",
                "libgcc_s.",
                "ld-linux",
                "libpthread.",
                "libdl.",
            ];
            assert!(known.iter().any(|k| name.starts_with(k)), "{name}");
            copy(library);
        }
        assert!(libraries.len() >= 3, "{linked}");
        let numbers = |flags: &[String]| {
            let owner = flags.iter().find_map(|f| f.strip_prefix("--chown="))?;
            let (uid, gid) = owner.split_once(':').unwrap();
            Some((uid.parse::<u32>().unwrap(), gid.parse::<u32>().unwrap()))
        };
        for (flags, from, to) in &self.copies {
            let to = tree.join(to.trim_start_matches('/'));
            if from == "linux-${TARGETARCH}/agentkeys" {
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(BIN, &to).unwrap();
                assert!(flags.contains(&"--chmod=0755".to_owned()));
                std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755)).unwrap();
            } else {
                assert!(flags.contains(&"--from=tree".to_owned()), "{from}");
                std::fs::create_dir_all(&to).unwrap();
                std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o700)).unwrap();
                let (uid, gid) = numbers(flags).unwrap();
                chown(&to, Some(uid), Some(gid)).unwrap();
            }
        }
    }

    /// A program of the image, as the image's user.
    fn command(&self, tree: &Path, words: &[String]) -> Command {
        let mut command = Command::new("/usr/sbin/chroot");
        command
            .arg(format!("--userspec={}", self.user))
            .arg("--groups=")
            .arg(tree);
        command.args(words).env_clear().envs(&self.env);
        command
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_images_tree_starts_as_its_user_and_is_healthy() {
    if !root("a chroot") {
        return;
    }
    let (dir, out) = (configured(), tempfile::tempdir().unwrap());
    deploy(dir.path(), out.path(), &["container"]);
    let file = std::fs::read_to_string(out.path().join("Containerfile")).unwrap();
    let image = Image::read(&file);
    assert_eq!(
        (image.user.as_str(), image.words.join(" ")),
        ("65532:65532", "serve".to_owned())
    );
    let tree = tempfile::tempdir().unwrap();
    std::fs::set_permissions(tree.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    image.build(tree.path());

    // The image's own ports may be taken on this machine.
    let any = ("127.0.0.1:0", "127.0.0.1:0");
    let mut words = [image.entry.clone(), image.words.clone()].concat();
    words.push("--json".to_owned());
    let mut command = image.command(tree.path(), &words);
    command
        .env("AGENTKEYS_SERVER_LISTEN", any.0)
        .env("AGENTKEYS_SERVER_OPERATOR_LISTEN", any.1);
    let log = tree.path().join("log");
    let stderr = std::fs::File::create(&log).unwrap();
    let child = command
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let said = || std::fs::read_to_string(&log).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {}", said()));
    assert_eq!(ready["event"], "ready");

    let operator = ready["operator_url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap();
    let health = || {
        let mut health = image.command(tree.path(), &image.health);
        health
            .arg("--json")
            .env("AGENTKEYS_SERVER_OPERATOR_LISTEN", operator)
            .output()
            .unwrap()
    };
    assert_eq!(json_of(&health())["ok"], true);
    let data: PathBuf = tree.path().join("var/lib/agentkeys");
    for entry in std::fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), 65532, "{:?}", entry.path());
    }
    assert!(data.join("ledger.sqlite").exists());

    let pid = ready["pid"].to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(running.0.wait().unwrap().success(), "{}", said());
    assert_eq!(health().status.code(), Some(8));
}
