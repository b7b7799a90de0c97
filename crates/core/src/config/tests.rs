use super::*;

const NO_ENVIRONMENT: &[(&str, &str)] = &[];

fn options(key: &str) -> Options {
    Options { api_key: Some(Secret::from(key)), ..Options::default() }
}

fn url(settings: &Settings) -> &str {
    settings.endpoint.base_url().map_or("local", BaseUrl::as_str)
}

#[test]
fn each_setting_comes_from_the_first_that_has_it() {
    let environment = [("AGB_API_KEY", "env"), ("AGB_ENDPOINT", "env.example"), ("OTHER", "x")];
    let file = "AGB_API_KEY=file\nAGB_ENDPOINT=file.example\nAGB_TIMEOUT_MS=1234\n";

    let all = Settings::resolve(
        &Options { endpoint: Some(String::from("code.example")), ..options("code") },
        &environment,
        Some(file),
    )
    .unwrap();
    assert_eq!(all.api_key, Some(Secret::from("code")));
    assert_eq!(url(&all), "https://code.example");
    assert_eq!(all.timeout, Duration::from_millis(1234));

    let without_code = Settings::resolve(&Options::default(), &environment, Some(file)).unwrap();
    assert_eq!(without_code.api_key, Some(Secret::from("env")));
    assert_eq!(url(&without_code), "https://env.example");

    let only_file = Settings::resolve(&Options::default(), NO_ENVIRONMENT, Some(file)).unwrap();
    assert_eq!(only_file.api_key, Some(Secret::from("file")));
    assert_eq!(url(&only_file), "https://file.example");

    let defaults = Settings::resolve(&options("k"), NO_ENVIRONMENT, None).unwrap();
    assert_eq!(url(&defaults), "https://sdk-api.agb.cloud");
    assert_eq!(defaults.timeout, Duration::from_secs(60));
}

#[test]
fn empty_variables_are_absent_and_the_last_one_counts() {
    let environment = [("AGB_API_KEY", " "), ("AGB_ENDPOINT", ""), ("AGB_TIMEOUT_MS", "")];
    let settings =
        Settings::resolve(&Options::default(), &environment, Some("AGB_API_KEY=one\nAGB_API_KEY=two\nAGB_API_KEY=\n"))
            .unwrap();
    assert_eq!(settings.api_key, Some(Secret::from("two")));
    assert_eq!(url(&settings), "https://sdk-api.agb.cloud");
}

#[test]
fn only_a_local_server_needs_no_key() {
    let resolve = |endpoint: &str| Settings::resolve(&Options::default(), &[("AGB_ENDPOINT", endpoint)], None);
    let local = resolve("local").unwrap();
    assert_eq!((local.endpoint, local.api_key), (Endpoint::Local, None));
    assert_eq!(resolve("host"), Err(ConfigError::NoApiKey));
    assert_eq!(Settings::resolve(&options(" "), NO_ENVIRONMENT, None), Err(ConfigError::NoApiKey));
    assert_eq!(ConfigError::NoApiKey.code(), "NO_API_KEY");
    let kept = Settings::resolve(&options("k"), &[("AGB_ENDPOINT", "local")], None).unwrap();
    assert_eq!(kept.api_key, Some(Secret::from("k")));
}

#[test]
fn keys_that_no_header_carries_are_refused() {
    for key in ["a b", "a\nb", "schlüssel", "a\0", "a\u{7f}"] {
        let error = Settings::resolve(&options(key), NO_ENVIRONMENT, None).unwrap_err();
        assert_eq!(error, ConfigError::UnusableApiKey { origin: Source::Options });
        assert_eq!(error.code(), "NO_API_KEY");
        assert!(!error.to_string().contains(key));
    }
    let trimmed = Settings::resolve(&options(" k\n"), NO_ENVIRONMENT, None).unwrap();
    assert_eq!(trimmed.api_key, Some(Secret::from("k")));
}

#[test]
fn time_limits() {
    for (text, expected) in [("1", Some(1)), (" 2000 ", Some(2000)), ("2147483647", Some(2_147_483_647))] {
        let settings = Settings::resolve(&options("k"), &[("AGB_TIMEOUT_MS", text)], None).unwrap();
        assert_eq!(Some(settings.timeout.as_millis()), expected);
    }
    for text in ["0", "-1", "1.5", "60s", "2147483648", "99999999999999999999", "NaN", "0x10"] {
        let error = Settings::resolve(&options("k"), &[("AGB_TIMEOUT_MS", text)], None).unwrap_err();
        assert_eq!(error, ConfigError::BadTimeout { origin: Source::Environment }, "{text}");
        assert_eq!(error.code(), "BAD_TIMEOUT");
    }
    for milliseconds in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 0.5] {
        let options = Options { timeout_ms: Some(milliseconds), ..options("k") };
        let error = Settings::resolve(&options, NO_ENVIRONMENT, None).unwrap_err();
        assert_eq!(error, ConfigError::BadTimeout { origin: Source::Options });
    }
}

#[test]
fn a_bad_endpoint_says_why_and_whence() {
    let error = Settings::resolve(&options("k"), NO_ENVIRONMENT, Some("AGB_ENDPOINT=ftp://SECRET")).unwrap_err();
    assert_eq!(error.code(), "BAD_ENDPOINT");
    assert_eq!(
        error.to_string(),
        "the endpoint (from the .env file) cannot be used: its scheme is neither http nor https"
    );
    let empty = Options { endpoint: Some(String::new()), ..options("k") };
    let error = Settings::resolve(&empty, NO_ENVIRONMENT, None).unwrap_err();
    assert_eq!(error, ConfigError::BadEndpoint { reason: BadEndpoint::Empty, origin: Source::Options });
}

#[test]
fn debug_shows_no_key() {
    let settings = Settings::resolve(&options("SECRET"), NO_ENVIRONMENT, None).unwrap();
    assert!(!format!("{settings:?} {:?}", options("SECRET")).contains("SECRET"));
}
