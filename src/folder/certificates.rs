//! The certificates of a folder's server.

use super::Folder;
use super::system::SystemEntropy;
use crate::config;
use crate::jobs::renewal::{By, Desk};
use crate::tls::acme::{Acme, Tell};
use std::sync::Arc;

impl Folder {
    /// What gets certificates for these names.
    pub fn certificates(
        &self,
        config: &config::Acme,
        names: &[String],
        tell: Tell,
        by: By,
    ) -> Desk {
        let clock = self.clock();
        let now = Arc::new(move || clock.now_ms().div_euclid(1000));
        let acme = Acme::new(&self.dir, config, names, now, tell);
        let authority = Arc::clone(&self.authority);
        Desk::new(
            acme,
            authority,
            self.root.clone(),
            Arc::new(SystemEntropy),
            by,
        )
    }
}
