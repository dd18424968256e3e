#!/bin/bash
   export RELEASE=$(cat /etc/os-release)
