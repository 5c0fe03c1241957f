//! A throwaway certificate authority with an intermediate, as Amazon Trust Services has one.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};

use super::start_error::StartError;

/// A root and the intermediate that issues server certificates.
#[derive(Debug)]
pub(super) struct CertificateAuthority {
    root: CertificateDer<'static>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// Years in which a leaf is valid, from 1 January to 1 January.
pub(super) type Years = std::ops::Range<i32>;

/// Valid at any time that a demo runs. The probe checks chains against the machine's clock.
pub(super) const VALID_YEARS: Years = 2020..2120;
/// In the past.
pub(super) const EXPIRED_YEARS: Years = 2020..2021;

impl CertificateAuthority {
    /// Generates both keys and certificates.
    pub(super) fn new(organization: &str) -> Result<Self, StartError> {
        let root = issuer_params(organization, "Root CA 1", BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
        let params = issuer_params(
            organization,
            "RSA 2048 M01",
            BasicConstraints::Constrained(0),
        );
        let intermediate = CertifiedIssuer::signed_by(params, KeyPair::generate()?, &root)?;
        Ok(Self {
            root: root.der().clone(),
            intermediate,
        })
    }

    /// Returns a root store that trusts only this authority.
    pub(super) fn roots(&self) -> Result<RootCertStore, StartError> {
        let mut store = RootCertStore::empty();
        store.add(self.root.clone())?;
        Ok(store)
    }

    /// Returns a TLS server configuration with a new leaf for `names`.
    pub(super) fn server(
        &self,
        names: &[String],
        years: Years,
    ) -> Result<Arc<ServerConfig>, StartError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = names.first() {
            params
                .distinguished_name
                .push(DnType::CommonName, name.as_str());
        }
        (params.not_before, params.not_after) = (
            date_time_ymd(years.start, 1, 1),
            date_time_ymd(years.end, 1, 1),
        );
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &self.intermediate)?;
        let chain = vec![leaf.into(), self.intermediate.der().clone()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(server))
    }
}

fn issuer_params(
    organization: &str,
    name: &str,
    constraints: BasicConstraints,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, organization);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{organization} {name}"));
    (params.not_before, params.not_after) = (
        date_time_ymd(VALID_YEARS.start, 1, 1),
        date_time_ymd(VALID_YEARS.end, 1, 1),
    );
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
