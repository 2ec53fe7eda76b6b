//! Building the clients.

use std::time::Duration;

use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_http_client::tls;

use crate::store;

/// Clients of one region.
#[derive(Debug)]
pub struct Clients {
    pub ec2: aws_sdk_ec2::Client,
    pub autoscaling: aws_sdk_autoscaling::Client,
    pub secrets: aws_sdk_secretsmanager::Client,
    pub parameters: aws_sdk_ssm::Client,
    pub sts: aws_sdk_sts::Client,
    /// What all of them share: for a client with other credentials.
    pub config: SdkConfig,
}

/// One call with its retries.
pub const OPERATION: Duration = Duration::from_secs(45);

/// The SDK sets a connect timeout only (3.1 s); a call that hangs would hang the boot
/// (aws-runtime's defaults, read in its source). An API answer takes well under a second, a
/// throttled one retries inside `operation`.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .read_timeout(Duration::from_secs(10))
        .operation_attempt_timeout(Duration::from_secs(15))
        .operation_timeout(OPERATION)
        .build()
}

impl Clients {
    /// `metadata` is the base URL of the instance metadata service, from which the credentials come. The
    /// services' endpoints follow the SDK's own rules (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_EC2`, …).
    pub async fn new(region: &str, metadata: &str) -> Self {
        let region = Region::new(region.to_owned());
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let provider =
            ProviderConfig::empty().with_region(Some(region.clone())).with_http_client(http.clone());
        let imds = aws_config::imds::Client::builder().configure(&provider);
        let imds = match imds.endpoint(metadata) {
            Ok(imds) => imds.build(),
            // An URL that does not parse: the client's own default is the real address.
            Err(_) => aws_config::imds::Client::builder().configure(&provider).build(),
        };
        let credentials = ImdsCredentialsProvider::builder().imds_client(imds).build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(region)
            .http_client(http)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .timeout_config(timeouts())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .load()
            .await;
        Self {
            ec2: aws_sdk_ec2::Client::new(&config),
            autoscaling: aws_sdk_autoscaling::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            parameters: aws_sdk_ssm::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            config,
        }
    }

    /// Credentials of a role that the instance's own role may assume, renewed before they end (an hour is the default
    /// of sts:AssumeRole, and no role may last less).
    pub async fn role(&self, role: &str, session: &str) -> SharedCredentialsProvider {
        let provider = AssumeRoleProvider::builder(role).session_name(session).configure(&self.config);
        SharedCredentialsProvider::new(provider.build().await)
    }

    /// A client for the bucket of `[backup]`: its own endpoint, region and addressing style.
    ///
    /// No read or operation timeout here: a range of a big object may take long, and `store` watches its
    /// progress itself.
    pub fn s3(
        &self,
        settings: &store::Settings,
        keys: Option<SharedCredentialsProvider>,
    ) -> aws_sdk_s3::Client {
        let mut builder = aws_sdk_s3::config::Builder::from(&self.config)
            .force_path_style(settings.path_style)
            .timeout_config(TimeoutConfig::builder().connect_timeout(Duration::from_secs(3)).build());
        if let Some(endpoint) = &settings.endpoint {
            let scheme = if settings.use_ssl { "https" } else { "http" };
            builder = builder
                .endpoint_url(format!("{scheme}://{endpoint}"))
                // The default adds a CRC in a trailer, which stores older than that default refuse (AWS SDKs and
                // Tools Reference Guide, data integrity protections).
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        }
        if let Some(region) = &settings.region {
            builder = builder.region(Region::new(region.clone()));
        }
        if let Some(keys) = keys {
            builder = builder.credentials_provider(keys);
        }
        aws_sdk_s3::Client::from_conf(builder.build())
    }
}
