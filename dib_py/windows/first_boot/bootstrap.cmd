@echo off
rem Windows runs this once instead of starting up, as SYSTEM: installers can't work here. Made by dib-py.
setlocal EnableExtensions DisableDelayedExpansion
set "SYSTEM32=%SystemRoot%\System32"
"%SYSTEM32%\reg.exe" add HKLM\SYSTEM\Setup /v SetupType /t REG_DWORD /d 0 /f >nul
"%SYSTEM32%\reg.exe" add HKLM\SYSTEM\Setup /v CmdLine /t REG_SZ /d "" /f >nul
call "%~dp0register.cmd"
"%SYSTEM32%\shutdown.exe" /r /t 0
exit /b 0
