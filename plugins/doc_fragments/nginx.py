"""Documentation that modules about nginx share: where it is, `fuego_deploy.nginx.OPTIONS`."""


class ModuleDocFragment:
    """The fragment `nginx`, as Ansible loads it."""

    DOCUMENTATION = r"""
options:
  path:
    description: The folder of nginx's configuration.
    type: path
    default: /etc/nginx
  executable:
    description: The program.
    type: str
    default: nginx
  pid_file:
    description: Where the running nginx has its process id.
    type: path
    default: /run/nginx.pid
  error_log:
    description: Where the running nginx says why it did not take a configuration.
    type: path
    default: /var/log/nginx/error.log
  reload_timeout:
    description: Seconds within which a reload has to take.
    type: float
    default: 10
"""
