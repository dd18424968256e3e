"""What is installed and removed when: package-installs, pkg-map and svc-map, read on the host when the plan is made.

So nothing like Python is needed in the guest. The hooks of our own ``package-installs`` element only hand the lists
that the plan holds to the guest's package manager; where ``ELEMENTS_PATH`` brings another element of that name, its
hooks do the work and nothing here acts.
"""

from dib_py.packages.lists import ELEMENT as ELEMENT
from dib_py.packages.lists import Packages as Packages
from dib_py.packages.lists import Slot as Slot
from dib_py.packages.lists import compute as compute
from dib_py.packages.lists import files as files
from dib_py.packages.lists import left_out as left_out
from dib_py.packages.lists import slot_of as slot_of
from dib_py.packages.lists import write as write
from dib_py.packages.package_caches import PackageCache as PackageCache
