@echo off
rem Setup runs this as SYSTEM when it is through, before anybody can log on. Made by dib-py.
call "%SystemRoot%\Setup\FirstBoot\register.cmd"
"%SystemRoot%\System32\schtasks.exe" /run /tn dib-firstboot >nul 2>&1
rem what was here before
if exist "%~dp0SetupComplete-before-dib.cmd" call "%~dp0SetupComplete-before-dib.cmd"
