"""The configuration files of the services."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path

REGION = "RegionOne"

# Of the services' own accounts and of the operator; it guards nothing but a loopback of tests.
PASSWORD = "loopback-only"

# Type in the catalogue, and what follows host and port in its endpoint.
TYPES = {
    "glance": ("image", ""),
    "barbican": ("key-manager", ""),
    "octavia": ("load-balancer", ""),
    "heat": ("orchestration", "/v1/%(project_id)s"),
}


def url(port: int) -> str:
    """Where a service is asked."""
    return f"https://127.0.0.1:{port}"


def files(folder: Path, environment: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """Every configuration file, by its path below `folder`.

    Args:
        folder: of the run; holds etc, data, log.
        environment: the virtual environment; brings the paste files.
        ports: of every service.
    """
    made = {"keystone": keystone, "glance": glance, "barbican": barbican, "octavia": octavia, "heat": heat}
    texts = {f"etc/{name}/{file}.conf": made[name](folder, environment, ports)
             for name, file in (("keystone", "keystone"), ("glance", "glance-api"), ("barbican", "barbican"),
                                ("octavia", "octavia"), ("heat", "heat"))}
    paste = environment / "etc" / "barbican" / "barbican-api-paste.ini"
    return {**texts, "etc/barbican/barbican-api-paste.ini": paste.read_text()}


def keystone(folder: Path, _environment: Path, ports: Mapping[str, int]) -> str:
    """keystone.conf."""
    return f"""[DEFAULT]
transport_url = fake://
public_endpoint = {url(ports['keystone'])}
{_database(folder, 'keystone')}
[fernet_tokens]
key_repository = {folder}/etc/keystone/fernet-keys
[credential]
key_repository = {folder}/etc/keystone/credential-keys
[cache]
enabled = true
backend = oslo_cache.dict
[identity]
password_hash_rounds = 4
"""


def glance(folder: Path, environment: Path, ports: Mapping[str, int]) -> str:
    """glance-api.conf."""
    return f"""[DEFAULT]
transport_url = fake://
enabled_backends = fs:file
enabled_import_methods = [glance-direct]
node_staging_uri = file://{folder}/data/staging
worker_self_reference_url = {url(ports['glance'])}
image_cache_dir = {folder}/data/cache
{_database(folder, 'glance')}
[glance_store]
default_backend = fs
[fs]
filesystem_store_datadir = {folder}/data/images
[os_glance_staging_store]
filesystem_store_datadir = {folder}/data/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/data/tasks
[oslo_concurrency]
lock_path = {folder}/data/locks
[paste_deploy]
flavor = keystone
config_file = {environment}/etc/glance/glance-api-paste.ini
{_tokens('glance', ports)}"""


def barbican(folder: Path, _environment: Path, ports: Mapping[str, int]) -> str:
    """barbican.conf."""
    kek = base64.b64encode(secrets.token_bytes(32)).decode()
    return f"""[DEFAULT]
transport_url = fake://
host_href = {url(ports['barbican'])}
db_auto_create = false
{_database(folder, 'barbican')}
[queue]
enable = false
[secretstore]
enable_multiple_secret_stores = false
enabled_secretstore_plugins = store_crypto
[crypto]
enabled_crypto_plugins = simple_crypto
[simple_crypto_plugin]
kek = {kek}
[oslo_policy]
enforce_new_defaults = true
{_tokens('barbican', ports)}"""


def octavia(folder: Path, _environment: Path, ports: Mapping[str, int]) -> str:
    """octavia.conf; drivers that do nothing stand for networks, computes and amphorae."""
    return f"""[DEFAULT]
transport_url = fake://
{_database(folder, 'octavia')}
[api_settings]
auth_strategy = keystone
api_base_uri = {url(ports['octavia'])}
enabled_provider_drivers = amphora:amphorae that do nothing
default_provider_driver = amphora
allow_tls_terminated_listeners = true
[certificates]
cert_manager = barbican_cert_manager
cert_generator = local_cert_generator
ca_certificate = {folder}/etc/ca.pem
ca_private_key = {folder}/etc/ca.key
ca_private_key_passphrase = {PASSWORD}
server_certs_key_passphrase = insecure-key-do-not-use-this-key
region_name = {REGION}
endpoint_type = public
[controller_worker]
workers = 1
client_ca = {folder}/etc/ca.pem
network_driver = network_noop_driver
compute_driver = compute_noop_driver
amphora_driver = amphora_noop_driver
image_driver = image_noop_driver
volume_driver = volume_noop_driver
amp_flavor_id = 00000000-0000-4000-8000-000000000001
amp_image_tag = amphora
amp_boot_network_list = 00000000-0000-4000-8000-000000000002
amp_secgroup_list = 00000000-0000-4000-8000-000000000003
loadbalancer_topology = SINGLE
[health_manager]
heartbeat_key = insecure
[task_flow]
engine = serial
max_workers = 1
jobboard_enabled = false
[oslo_messaging]
topic = octavia_prov
[service_auth]
{_account('octavia', ports)}
{_tokens('octavia', ports)}"""


def heat(folder: Path, environment: Path, ports: Mapping[str, int]) -> str:
    """heat.conf."""
    return f"""[DEFAULT]
transport_url = fake://
host = loopback
auth_encryption_key = 0123456789abcdef0123456789abcdef
num_engine_workers = 1
environment_dir = {environment}/etc/heat/environment.d
template_dir = {environment}/etc/heat/templates
plugin_dirs =
convergence_engine = true
stack_user_domain_name = heat
stack_domain_admin = heat_domain_admin
stack_domain_admin_password = {PASSWORD}
{_database(folder, 'heat')}
[paste_deploy]
api_paste_config = {environment}/etc/heat/api-paste.ini
[clients]
endpoint_type = publicURL
[clients_keystone]
auth_uri = {url(ports['keystone'])}
[trustee]
{_account('heat', ports)}
{_tokens('heat', ports)}"""


def _database(folder: Path, name: str) -> str:
    return f"[database]\nconnection = sqlite:///{folder}/data/{name}.db?timeout=60\nsqlite_synchronous = false\n"


def _account(name: str, ports: Mapping[str, int]) -> str:
    return f"""auth_type = password
auth_url = {url(ports['keystone'])}/v3
username = {name}
password = {PASSWORD}
user_domain_name = Default
{'' if name == 'heat' else 'project_name = service' + chr(10) + 'project_domain_name = Default'}"""


def _tokens(name: str, ports: Mapping[str, int]) -> str:
    """How a service checks tokens; `service_type` makes access rules of application credentials work."""
    return f"""[keystone_authtoken]
www_authenticate_uri = {url(ports['keystone'])}/v3
auth_type = password
auth_url = {url(ports['keystone'])}/v3
username = {name}
password = {PASSWORD}
project_name = service
user_domain_name = Default
project_domain_name = Default
region_name = {REGION}
service_type = {TYPES[name][0]}
service_token_roles_required = true
"""
