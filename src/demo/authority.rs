//! A throw-away certificate authority with an intermediate, as Amazon Trust Services has one.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};

use super::StartError;

/// A root and the intermediate that signs.
#[derive(Debug)]
pub(super) struct Authority {
    root: CertificateDer<'static>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// Years in which a leaf is valid, from January to January.
pub(super) type Years = std::ops::Range<i32>;

/// Around any clock that a demo meets. Chains are judged at the time of the machine that runs it.
pub(super) const NOW: Years = 2020..2120;
/// Long gone.
pub(super) const LONG_AGO: Years = 2020..2021;

impl Authority {
    /// Makes both keys and certificates.
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

    /// The store of somebody who trusts this authority and no other.
    pub(super) fn roots(&self) -> Result<RootCertStore, StartError> {
        let mut store = RootCertStore::empty();
        store.add(self.root.clone())?;
        Ok(store)
    }

    /// A TLS server with a fresh leaf for `names`.
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
    (params.not_before, params.not_after) =
        (date_time_ymd(NOW.start, 1, 1), date_time_ymd(NOW.end, 1, 1));
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
