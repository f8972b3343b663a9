"""Texts that nobody can have meant, from every source; no error shows a secret."""

import pytest

from agentsched.config.loader import load_settings, parse_settings
from agentsched.config.section import named
from agentsched.config.text_faults import fault_of, fault_of_key
from agentsched.errors import ConfigurationError
from agentsched.preflight import preflight

MODEL = "models: [{{name: m, endpoints: [{{base_url: {url!r}}}]}}]"
QUOTED, BLANK, HIDDEN_CHARACTER = "stands in quotes", "white space", "cannot be seen"
PLACEHOLDER, DUMMY, BOM = "holds a placeholder", "of an example", "byte order mark"


def refused(text="", **environ):
    with pytest.raises(ConfigurationError) as error:
        parse_settings(text, source="agentsched.yaml", environ=environ)
    return str(error.value)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("BOOTSTRAP_SERVERS", '"kafka:9092"'),
        ("BOOTSTRAP_SERVERS", "'k1:9092,k2:9092'"),
        ("BOOTSTRAP_SERVERS", '"k1:9092","k2:9092"'),
        ("INPUT_TOPICS", '\'["a", "b"]\''),
        ("OUTPUT_TOPIC", '"results"'),
        ("REDIS_URL", '"redis://u:hunter2@h:6379/0"'),
        ("REDIS_URL", "'redis://u:hunter2@h:6379/0'"),
        ("REDIS_URL", "redis://u:'hunter2'@h:6379/0"),
        ("SGLANG_BASE_URL", '"http://h/v1"'),
        ("SGLANG_BASE_URL", "\u201chttp://h/v1\u201d"),
        ("AGENTSCHED__KAFKA__PROPERTIES__SASL_PASSWORD", '"hunter2"'),
        ("AGENTSCHED__KAFKA__PROPERTIES__SASL_USERNAME", "'u'"),
        ("AGENTSCHED__REDIS__SENTINEL_PASSWORD", '"hunter2"'),
        ("AGENTSCHED__LIMITS__TTL_S", '"30"'),
        ("AGENTSCHED__LOGGING__LEVEL", '"debug"'),
        ("AGENTSCHED__HTTP__ENABLED", '"false"'),
        ("AGENTSCHED__NAMESPACE", "'blue'"),
        ("AGENTSCHED__MODELS", '\'[{"name": "m"}]\''),
        ("AGENTSCHED__DEFAULT_ENDPOINT__API_KEY_ENV", '"KEY"'),
        ("AGENTSCHED__DEFAULT_ENDPOINT__API_KEY_FILE", "'/run/key'"),
    ],
)
def test_quotes_of_a_variable_are_pointed_at(variable, text):
    found = refused(**{variable: text})
    assert f"  {variable}: " in found
    assert QUOTED in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (
            """kafka: {bootstrap_servers: ['"k:9092"']}""",
            "bootstrap_servers[0]",
            QUOTED,
        ),
        ("kafka: {bootstrap_servers: ['k:9092 ']}", "bootstrap_servers[0]", BLANK),
        ('kafka: {bootstrap_servers: ["k:9092\\r"]}', "bootstrap_servers[0]", BLANK),
        ('kafka: {bootstrap_servers: ["\\uFEFFk:1"]}', "bootstrap_servers[0]", BOM),
        ('kafka: {bootstrap_servers: ["k:1\\nl:2"]}', "servers[0]", HIDDEN_CHARACTER),
        ("kafka: {bootstrap_servers: ['${K}:1']}", "bootstrap_servers[0]", PLACEHOLDER),
        ("kafka: {bootstrap_servers: ['$K']}", "bootstrap_servers[0]", PLACEHOLDER),
        ("kafka: {bootstrap_servers: ['<host>:1']}", "servers[0]", PLACEHOLDER),
        ("kafka: {output_topic: '{{ topic }}'}", "kafka.output_topic", PLACEHOLDER),
        ("kafka: {group_id: '${ENV}-bridge'}", "kafka.group_id", PLACEHOLDER),
        (
            "kafka: {properties: {ssl.ca.location: '${DIR}/ca.pem'}}",
            "properties.ssl.ca.location",
            PLACEHOLDER,
        ),
        (
            """kafka: {properties: {sasl.password: '"hunter2"'}}""",
            "properties.sasl.password",
            QUOTED,
        ),
        (
            'kafka: {properties: {sasl.password: "hunter2\\n"}}',
            "properties.sasl.password",
            BLANK,
        ),
        ("kafka: {properties: {sasl.password: changeme}}", "sasl.password", DUMMY),
        ("kafka: {properties: {sasl.password: '${P}'}}", "password", PLACEHOLDER),
        ("kafka: {properties: {sasl.password: '<password>'}}", "word", PLACEHOLDER),
        ("redis: {url: 'redis://${REDIS_HOST}:6379/0'}", "redis.url", PLACEHOLDER),
        ("redis: {url: 'redis://:${PASSWORD}@h:6379/0'}", "redis.url", PLACEHOLDER),
        ("redis: {url: 'redis://:changeme@h:6379/0'}", "redis.url", DUMMY),
        ("redis: {url: ' redis://h:6379/0'}", "redis.url", BLANK),
        (
            "redis: {url: 'rediss://h', tls_ca_file: '$CERTS/ca.pem'}",
            "redis.tls_ca_file",
            PLACEHOLDER,
        ),
        ("models: [{name: '${MODEL}'}]", "models[0].name", PLACEHOLDER),
        ("models: [{name: 'gpt-4 '}]", "models[0].name", BLANK),
        ("agents: [{id: '\"a\"'}]", "agents[0].id", QUOTED),
        ("agents: [{id: a, model: '<model>'}]", "agents[0].model", PLACEHOLDER),
        (MODEL.format(url="http://${HOST}/v1"), "endpoints[0].base_url", PLACEHOLDER),
        (MODEL.format(url="${BASE_URL}"), "endpoints[0].base_url", PLACEHOLDER),
        (MODEL.format(url="http://{{ host }}/v1"), "base_url", PLACEHOLDER),
        (
            "default_endpoint: {api_key_file: '${KEYS}/k'}",
            "default_endpoint.api_key_file",
            PLACEHOLDER,
        ),
        ("default_endpoint: {api_key_env: '$KEY'}", "api_key_env", PLACEHOLDER),
    ],
)
def test_a_text_of_the_file_is_pointed_at(text, path, words):
    found = refused(text)
    assert "1 thing to mend" in found
    assert "line 1: " in found
    assert path in found
    assert words in found
    assert "hunter2" not in found
    assert "changeme" not in found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("redis", "url"), "redis://u:%22a@h:6379/0"),
        (("kafka", "properties", "sasl.password"), 'a"b'),
        (("kafka", "properties", "sasl.password"), '"half'),
        (("kafka", "properties", "sasl.password"), "$ecret{{x"),
        (("kafka", "properties", "sasl.password"), "two words"),
        (("kafka", "properties", "ssl.ca.pem"), "-----BEGIN\nx\n-----END\n"),
        (("kafka", "properties", "sasl.kerberos.kinit.cmd"), 'kinit -k "$KEYTAB" $U'),
        (("kafka", "bootstrap_servers", 0), "PLAINTEXT://k-1.example.com:9092"),
        (("scaling", "note"), '"${whatever}" '),
    ],
)
def test_what_may_be_meant_is_taken(path, text):
    import yaml  # noqa: PLC0415

    data = [text] if isinstance(path[-1], int) else {path[-1]: text}
    for part in reversed([each for each in path[:-1] if isinstance(each, str)]):
        data = {part: data}
    parse_settings(yaml.safe_dump(data))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://h/v1/chat/completions", "must end before /chat/completions"),
        ("http://h/v1/chat/completions/", "write http://h/v1 (is"),
        ("https://h/v1/completions", "write https://h/v1 (is"),
        ("https://h/v1/models", "must end before /models"),
        ("https://h/v1/embeddings", "must end before /embeddings"),
        ("https://h/v1?api-version=2024-06-01", "Azure's API"),
        ("https://r.openai.azure.com/openai/deployments/gpt-4", "not supported yet"),
        ("https://r.openai.azure.com/", "https://RESOURCE.openai.azure.com/openai/v1"),
        ("https://r.cognitiveservices.azure.com/openai", "Azure's API"),
        ("https://h/v1?tenant=hunter2", "no user, password, query"),
        ("https://h/v1#hunter2", "no user, password, query"),
        ("https://u:hunter2@h/v1", "no user, password, query"),
        ("https://u:hunter2@h/v1/chat/completions", "no user, password, query"),
        ("api.example.com/v1", "must be an http:// or https:// URL"),
        ("localhost:8000/v1", "must be an http:// or https:// URL"),
        ("//h/v1", "must be an http:// or https:// URL"),
        ("http:///v1", "must be an http:// or https:// URL"),
    ],
)
def test_a_base_url_that_cannot_work_says_what_to_write(url, words):
    found = refused(MODEL.format(url=url))
    assert "models[0].endpoints[0].base_url: " in found
    assert words in found
    assert "hunter2" not in found
    assert words in refused("models: [{name: m}]", SGLANG_BASE_URL=url)


@pytest.mark.parametrize(
    "url",
    [
        "http://h/v1",
        "http://h/v1/",
        "https://r.openai.azure.com/openai/v1/",
        "https://h/api/v3",
        "https://gateway.example.com/models/v1",
    ],
)
def test_a_base_url_that_can_work_is_taken_without_a_word(url):
    loaded = parse_settings(MODEL.format(url=url))
    assert loaded.settings.models[0].endpoints[0].base_url == url.rstrip("/")
    assert loaded.notes == ()


def test_a_base_url_without_a_path_is_worth_a_note():
    (note,) = parse_settings(MODEL.format(url="http://h:8000")).notes
    assert note.startswith("http://h:8000 has no path: most servers want /v1")


KEYS = [
    ('"sk-hunter2"', QUOTED),
    ("'sk-hunter2'\r\n", QUOTED),
    ("\ufeffsk-hunter2", BOM),
    ("Bearer sk-hunter2", "leave only the key"),
    ("bearer sk-hunter2", "leave only the key"),
    ("Authorization: Bearer sk-hunter2", "leave only the key"),
    ("OPENAI_API_KEY=sk-hunter2", "what is behind the `=`"),
    ("export KEY=sk-hunter2", "what is behind the `=`"),
    ("sk-hunter2\nsk-hunter3", "more than one line"),
    ("${OPENAI_API_KEY}", PLACEHOLDER),
    ("$OPENAI_API_KEY", PLACEHOLDER),
    ("{{ key }}", PLACEHOLDER),
    ("<your-key>", PLACEHOLDER),
    ("changeme", DUMMY),
    ("your-api-key", DUMMY),
    ("your_openai_api_key_here", DUMMY),
    ("sk-...", DUMMY),
    ("sk-....", DUMMY),
]


@pytest.mark.parametrize(("key", "words"), KEYS)
@pytest.mark.parametrize("source", ["api_key_env", "api_key_file"])
def test_a_key_that_is_none_is_pointed_at_before_anything_starts(
    tmp_path, source, key, words
):
    file = tmp_path / "key"
    file.write_text(key, "utf-8")
    value = "KEY" if source == "api_key_env" else str(file)
    text = (
        "models: [{name: m, endpoints:"
        f" [{{base_url: 'http://h/v1', {source}: {value!r}}}]}}]"
    )
    settings = parse_settings(text).settings
    ((path, said),) = preflight(settings, {"KEY": key})
    assert named(path) == f"models[0].endpoints[0].{source}"
    assert words in said
    assert (value in said) or (str(file) in said)
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "key", ["sk-proj-Ab_1=", "abc", "sk-1\r\n", " sk-1 ", "yourself"]
)
def test_a_key_that_may_be_one_is_taken(key):
    assert fault_of_key(key.strip()) is None
    settings = parse_settings("models: [{name: m}]").settings
    assert preflight(settings, {"LLM_API_KEY": key}) == []


def test_a_key_that_is_not_here_is_the_workers_matter():
    text = (
        "models: [{name: m, endpoints: [{base_url: 'http://h/v1', api_key_env: K}]},"
        " {name: n, endpoints: [{base_url: 'http://i/v1', api_key_file: /no/file}]}]"
    )
    assert preflight(parse_settings(text).settings, {}) == []


def test_what_is_wrong_with_one_key_is_said_once():
    settings = parse_settings("models: [{name: m}, {name: n}]").settings
    assert len(preflight(settings, {"LLM_API_KEY": "changeme"})) == 1


def test_a_quoted_name_of_the_file_is_pointed_at():
    with pytest.raises(ConfigurationError, match=QUOTED):
        load_settings({"AGENTSCHED_CONFIG": '"agentsched.yaml"'})


@pytest.mark.parametrize("text", ["", "a", "gpt-4", "a b", "50%", "C:\\x", "x<y", "5$"])
def test_plain_texts_are_fine(text):
    assert fault_of(text) is None


def test_the_settings_of_event_hubs_and_odd_names_are_taken_as_they_are():
    """`$ConnectionString` is what Event Hubs calls its user; `%C3%` is half a letter."""
    parsed = parse_settings(
        "kafka:\n"
        "  properties:\n"
        "    security.protocol: SASL_SSL\n"
        "    sasl.mechanism: PLAIN\n"
        "    sasl.username: $ConnectionString\n"
        "    sasl.password: Endpoint=sb://x/;SharedAccessKey=k\n"
        "models:\n"
        "  - {name: m, endpoints: [{base_url: 'https://h/%C3%A9/v1'}]}\n"
        'agents: [{id: "James\'"}]\n'
    ).settings
    assert parsed.kafka.properties["sasl.username"] == "$ConnectionString"
    assert parsed.agents[0].id == "James'"


@pytest.mark.parametrize("key", ["sk-1234", "xxx", "my-secret", "EMPTY"])
def test_a_key_that_local_servers_are_given_is_one(key):
    assert fault_of_key(key) is None
