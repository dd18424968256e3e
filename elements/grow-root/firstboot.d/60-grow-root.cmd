@echo off
rem Grows C: now, and at each start if that is wanted: a cloud can give a machine a larger disk at any time.
setlocal
set "GROW=%SystemRoot%\Setup\GrowRoot\grow-root.ps1"
set "POWERSHELL=%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe"
set "OPTIONS=-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File"
if not "%DIB_GROW_ROOT_EVERY_START%"=="1" goto now
set "TASK=%POWERSHELL% %OPTIONS% %GROW%"
"%SystemRoot%\System32\schtasks.exe" /create /f /tn dib-grow-root /sc onstart /ru SYSTEM /rl highest /tr "%TASK%"
if not "%ERRORLEVEL%"=="0" exit /b 1
:now
"%POWERSHELL%" %OPTIONS% "%GROW%"
exit /b %ERRORLEVEL%
