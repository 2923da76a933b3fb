"""Make Octavia's tables in SQLite: its own migrations need MySQL or PostgreSQL. Runs with the services' interpreter.

    octavia_schema.py octavia.conf
"""

import sys

from octavia.common import config, constants
from octavia.db import api, base_models, models

config.init(["--config-file", sys.argv[1]])
# SQLAlchemy's pool for SQLite files takes no time-out.
config.cfg.CONF.set_override("pool_timeout", None, group="database")
base_models.BASE.metadata.create_all(api.get_engine())

# Tables of words, which the migrations fill.
WORDS = (
    (models.ProvisioningStatus, constants.SUPPORTED_PROVISIONING_STATUSES),
    (models.OperatingStatus, constants.SUPPORTED_OPERATING_STATUSES),
    (models.HealthMonitorType, constants.SUPPORTED_HEALTH_MONITOR_TYPES),
    (models.Algorithm, constants.SUPPORTED_LB_ALGORITHMS),
    (models.Protocol, constants.SUPPORTED_PROTOCOLS),
    (models.SessionPersistenceType, constants.SUPPORTED_SP_TYPES),
    (models.AmphoraRoles, constants.SUPPORTED_AMPHORA_ROLES),
    (models.LBTopology, constants.SUPPORTED_LB_TOPOLOGIES),
    (models.VRRPAuthMethod, constants.SUPPORTED_VRRP_AUTH),
    (models.L7RuleType, constants.SUPPORTED_L7RULE_TYPES),
    (models.L7RuleCompareType, constants.SUPPORTED_L7RULE_COMPARE_TYPES),
    (models.L7PolicyAction, constants.SUPPORTED_L7POLICY_ACTIONS),
    (models.ClientAuthenticationMode, constants.SUPPORTED_CLIENT_AUTH_MODES),
)

session = api.get_session()
with session.begin():
    for table, words in WORDS:
        session.add_all(table(name=word) for word in words)
    # Rows of deleted load balancers point at these.
    gone = {"name": "DELETED-PLACEHOLDER"}
    session.add(models.FlavorProfile(id=constants.NIL_UUID, provider_name=constants.DELETED, flavor_data="{}", **gone))
    session.add(models.AvailabilityZoneProfile(
        id=constants.NIL_UUID, provider_name=constants.DELETED, availability_zone_data="{}", **gone))
    session.flush()
    session.add(models.Flavor(id=constants.NIL_UUID, flavor_profile_id=constants.NIL_UUID, enabled=False,
                              description="of what is deleted", **gone))
    session.add(models.AvailabilityZone(name=constants.NIL_UUID, availability_zone_profile_id=constants.NIL_UUID,
                                        enabled=False, description="of what is deleted"))
