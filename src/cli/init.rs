//! `agentkeys init`: a new data folder.

use super::args::{domain, network, public_url, quoted};
use super::{Ctx, log_to_stderr};
use crate::config::{self, Config, Flags, PublicHost};
use crate::demo_set::{self, DemoSet};
use crate::folder::{self, Begun, Folder, write_private};
use crate::problem::{Exit, Problem};
use clap::Args;
use ipnet::IpNet;
use serde_json::json;
use std::path::Path;

/// Create the data folder: keys, ledger, vault, default policy.
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:
  agentkeys init
  agentkeys init --demo
  agentkeys init --domain example.com --dir /var/lib/agentkeys
  agentkeys init --domain example.com --behind-proxy 10.0.0.0/8",
    after_help = "A run that was cut off is gone on with by running it again."
)]
pub struct InitCmd {
    /// Also make the demo set: one actor with three memories, two vendors with a token each.
    #[arg(long)]
    pub demo: bool,
    /// Hosts will call `https://mcp.D/mcp` (`https://D/mcp` when D begins with `mcp.`).
    /// The server speaks TLS at port 443 with a certificate from Let's Encrypt.
    #[arg(long, value_name = "D", value_parser = domain)]
    pub domain: Option<String>,
    /// Where Let's Encrypt may write when something is wrong.
    #[arg(long, value_name = "E", value_parser = email, requires = "domain")]
    pub email: Option<String>,
    /// Another name for xiaozhi's endpoint, which refuses those with "key" or "call" in them.
    #[arg(long, value_name = "D", value_parser = relay_domain, requires = "domain")]
    pub relay_domain: Option<String>,
    /// The networks of a proxy that speaks TLS in front, in the server's place.
    #[arg(
        long,
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = network,
        requires = "domain",
        conflicts_with = "email"
    )]
    pub behind_proxy: Vec<IpNet>,
}

impl InitCmd {
    /// The file of this host.
    fn file(&self, url: Option<&str>) -> String {
        let relay = self.relay_domain.as_ref();
        let relay = relay.map(|domain| format!("https://{domain}"));
        let proxies = self.behind_proxy.iter().map(|net| net.trunc().to_string());
        let proxies: Vec<_> = proxies.collect();
        let host = url.map(|url| PublicHost {
            url,
            relay_url: relay.as_deref(),
            email: self.email.as_deref(),
            behind_proxy: &proxies,
        });
        config::default_file(host.as_ref())
    }
}

/// What looks like an address for mail.
fn email(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ',' | '?');
    match text.split_once('@') {
        Some((user, host))
            if !user.is_empty() && text.chars().all(plain) && domain(host).is_ok() =>
        {
            Ok(text.to_owned())
        }
        _ => Err("write an address such as ops@example.com".to_owned()),
    }
}

/// A host name that xiaozhi takes.
fn relay_domain(text: &str) -> Result<String, String> {
    let text = domain(text)?;
    match config::forbidden_at_xiaozhi(&text) {
        Some(word) => Err(format!(
            "xiaozhi refuses names with \"{word}\" in them; use another"
        )),
        None => Ok(text),
    }
}

/// Runs `init`.
pub async fn run(cmd: &InitCmd, ctx: &Ctx) -> Result<(), Problem> {
    log_to_stderr();
    let dir = ctx.dir()?;
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    let url = cmd.domain.as_deref().map(public_url);
    let file = dir.join(config::FILE);
    folder::owned(&dir)?;
    // A file that is there stays as it is, so what it says must fit what is asked for.
    let config = Config::load(&dir, Flags::default())?;
    if file.exists() {
        keeps(&file, &config, url.as_deref())?;
    }
    let went_on = Begun::left_in(&dir)?.is_some();
    let begun = if cmd.demo { Begun::Demo } else { Begun::Plain };
    let folder = Folder::begin(&dir, config.limits(), begun).await?;
    if went_on {
        ctx.out
            .note("An earlier run was cut off here; this one goes on with it.");
    }
    if !file.exists() {
        write_private(&file, cmd.file(url.as_deref()).as_bytes())?;
    }
    let demo = if cmd.demo {
        Some(demo_set::create(&folder.authority, &folder.operator()).await?)
    } else {
        None
    };
    let behind = !cmd.behind_proxy.is_empty();
    report(ctx, &folder, &file, url.as_deref(), behind, demo.as_ref())?;
    // Not before: of an answer that nobody got, another run gives the tokens anew.
    folder.finish()
}

fn keeps(file: &Path, config: &Config, url: Option<&str>) -> Result<(), Problem> {
    let there = config.server.public_url.as_ref().map(ToString::to_string);
    match url {
        Some(url) if there.as_deref() != Some(url) => Err(Problem::new(
            Exit::Config,
            "agentkeys.config.exists",
            format!(
                "{} is there already and has another public_url",
                file.display()
            ),
            format!(
                "set `public_url = \"{url}\"` under [server] in it and run init without --domain"
            ),
        )),
        _ => Ok(()),
    }
}

fn report(
    ctx: &Ctx,
    folder: &Folder,
    file: &Path,
    url: Option<&str>,
    behind: bool,
    demo: Option<&DemoSet>,
) -> Result<(), Problem> {
    let out = ctx.out;
    let (actors, vendors) = demo.map_or_else(|| (json!([]), json!([])), DemoSet::to_json);
    let answer = json!({
        "dir": folder.dir.display().to_string(), "config": file.display().to_string(),
        "actors": actors, "vendors": vendors,
    });
    out.answer(&answer, || {
        out.line(&format!("created {}", folder.dir.display()))?;
        out.fields(&[
            ("operator", folder.authority.operator().to_string()),
            ("config", file.display().to_string()),
            ("public url", url.unwrap_or_default().to_owned()),
        ])?;
        let Some(demo) = demo else { return Ok(()) };
        out.line(&format!(
            "demo set: actor {} {}, three memories, daily cap 500 RMB",
            demo_set::ACTOR,
            demo.actor_omni
        ))?;
        // Not a table: a token that is broken over lines cannot be copied.
        let names: Vec<_> = demo
            .vendors
            .iter()
            .map(|v| format!("{} ({})", v.vendor, v.rail))
            .collect();
        let tokens = demo.vendors.iter().map(|v| v.token.expose().clone());
        let fields: Vec<_> = names.iter().map(String::as_str).zip(tokens).collect();
        out.fields(&fields)?;
        out.note("These tokens are shown this once; only their hashes are kept.");
        Ok(())
    })?;
    if url.is_some_and(|_| !behind) {
        out.note("Let the names lead to this machine and open ports 80 and 443; `agentkeys tls issue --staging` rehearses the certificate.");
    }
    out.note("Without keys/root.key nothing in this folder can be opened; `agentkeys backup` takes it too.");
    let next = match (demo, url) {
        (None, None) => "agentkeys vendor create NAME --rail xiaozhi",
        _ => "agentkeys serve",
    };
    // The folder that was typed is typed again.
    let dir = ctx
        .typed_dir()
        .map(|dir| quoted(&dir.display().to_string()));
    out.next(&match dir {
        Some(dir) => format!("{next} --dir {dir}"),
        None => next.to_owned(),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_into_the_file_can_be_read_from_it() {
        for good in ["ops@example.com", "a.b+c@mail.example.com"] {
            assert_eq!(email(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "ops",
            "@example.com",
            "ops@",
            "o ps@example.com",
            "a@b\n.com",
            "a\"@b.com",
        ] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
        assert!(relay_domain("relay.example.com").is_ok());
        assert!(relay_domain("agentkeys.example.com").is_err());
    }
}
