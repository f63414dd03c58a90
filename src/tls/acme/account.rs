//! The account at an ACME server, in a file of mode 0600 for each.

use super::client::{Http, because};
use super::trouble::{Kind, Trouble};
use crate::config;
use crate::digest::sha256;
use crate::folder::private_file;
use crate::tls::Store;
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use std::path::Path;

/// Keys for external account binding come with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where the account at a directory is kept.
pub(super) fn file(directory: &str) -> String {
    let digest = hex::encode(sha256(&[directory.as_bytes()]));
    format!("account-{}.json", &digest[..16])
}

/// The account that is kept; nothing when there is none.
pub(super) async fn open(
    store: &Store,
    directory: &str,
    http: &Http,
) -> Result<Option<Account>, Trouble> {
    let Some(text) = store.read(&file(directory))? else {
        return Ok(None);
    };
    let kept: AccountCredentials = serde_json::from_str(&text).map_err(|e| {
        let path = store.path(&file(directory));
        let cause = format!(
            "{} is damaged ({e}); remove it, and another is made",
            path.display()
        );
        Trouble::new(Kind::Account, cause)
    })?;
    let builder = Account::builder_with_http(Box::new(http.clone()));
    builder
        .from_credentials(kept)
        .await
        .map(Some)
        .map_err(because)
}

/// Makes one. The caller has seen that the folder can be written.
pub(super) async fn make(
    store: &Store,
    directory: &str,
    http: &Http,
    config: &config::Acme,
    dir: &Path,
) -> Result<Account, Trouble> {
    let contact = config.email.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let external = external(config, dir)?;
    let mut tries = 0;
    let (account, credentials) = loop {
        let builder = Account::builder_with_http(Box::new(http.clone()));
        let made = builder.create(&new, directory.to_owned(), external.as_ref());
        match made.await.map_err(because) {
            Err(trouble) if trouble.kind == Kind::Nonce && tries < super::run::NONCES => tries += 1,
            // An address that does not go on the record is no reason for none.
            made => break made?,
        }
    };
    let text = serde_json::to_string(&credentials)
        .map_err(|e| Trouble::new(Kind::Account, e.to_string()))?;
    store.write(&file(directory), &text)?;
    Ok(account)
}

fn external(config: &config::Acme, dir: &Path) -> Result<Option<ExternalAccountKey>, Trouble> {
    let (Some(kid), Some(path)) = (&config.eab_kid, &config.eab_key_file) else {
        return Ok(None);
    };
    let text = private_file(&dir.join(path)).map_err(|p| Trouble::new(Kind::Config, p.cause))?;
    // What is wrong with it is not told: the error would quote it.
    let key = LENIENT.decode(text.expose().trim()).map_err(|_| {
        let cause = format!("tls.eab_key_file {} is not base64url", path.display());
        Trouble::new(Kind::Config, cause)
    })?;
    Ok(Some(ExternalAccountKey::new(kid.clone(), &key)))
}
