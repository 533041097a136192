import os
os.environ['OS_GLANCE_CONFIG_DIR'] = '@LAB_DIR@/etc/glance'
from glance.wsgi.api import application  # noqa: E402, F401
