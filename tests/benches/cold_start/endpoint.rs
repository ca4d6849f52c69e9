//! DynamoDB behind TLS as on AWS: certificates that are generated for each run, and a proxy that terminates TLS.

use std::{net::SocketAddr, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    },
};

/// A TLS endpoint. It is there for as long as the runtime.
#[derive(Debug)]
pub(crate) struct TlsEndpoint {
    pub(crate) url: String,
    /// The certificate that its own is signed with in the end, as PEM.
    pub(crate) root: String,
}

impl TlsEndpoint {
    /// Starts one in front of `plain`. What it shows is what AWS's endpoints show: a certificate for an RSA key of
    /// 2,048 bits, and the one that it is signed with, whose own is a root.
    pub(crate) async fn start(plain: SocketAddr) -> Self {
        let key = || KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let root = Issuer::new(authority("Root"), key());
        let root_pem = authority("Root").self_signed(root.key()).unwrap().pem();
        let issuing_key = key();
        let issuing = authority("Issuing").signed_by(&issuing_key, &root).unwrap();
        let issuer = Issuer::new(authority("Issuing"), issuing_key);
        let own_key = key();
        let own = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&own_key, &issuer).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![own.into(), issuing.into()];
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivatePkcs8KeyDer::from(own_key.serialize_der()).into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            loop {
                let (outer, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A caller that was killed ends its connections anyhow.
                    let _ = pass_on(outer, &acceptor, plain).await;
                });
            }
        });
        Self { url, root: root_pem }
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

async fn pass_on(outer: TcpStream, acceptor: &TlsAcceptor, plain: SocketAddr) -> std::io::Result<()> {
    outer.set_nodelay(true)?;
    let mut outer = acceptor.accept(outer).await?;
    let mut inner = TcpStream::connect(plain).await?;
    inner.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut outer, &mut inner).await?;
    Ok(())
}
