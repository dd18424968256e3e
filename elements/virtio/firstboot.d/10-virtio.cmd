@echo off
rem Gives all drivers to Plug and Play, and takes those entries back that Windows has its own for by now.
setlocal enabledelayedexpansion
set "stage=%SystemDrive%\Program Files\Virtio-Win"
set "database=HKLM\SYSTEM\DriverDatabase"
set "class=HKLM\SYSTEM\CurrentControlSet\Control\Class"
set restart=0
set failed=0

for /r "%stage%" %%I in (*.inf) do (
    echo %%I
    "%SystemRoot%\System32\pnputil.exe" -i -a "%%I"
    set code=!errorlevel!
    rem 259: no device that is there needs it
    if !code! equ 3010 (set restart=1) else if !code! neq 0 if !code! neq 259 set failed=!code!
)
pushd "%SystemRoot%\INF"
for %%I in (oem-*.inf) do call :release "%%I"
popd
if not %failed% equ 0 exit /b %failed%
if %restart% equ 1 exit /b 3010
exit /b 0

:release
set "ours=%~1"
set "name=%ours:~4%"
set "package="
for /f "tokens=1,2,*" %%A in ('reg query "%database%\DriverInfFiles\%ours%" /v Active 2^>nul') do (
    if /i "%%A" equ "Active" set "package=%%C"
)
if not defined package exit /b 0
set "other="
for /f "tokens=5 delims=\" %%P in ('reg query "%database%\DriverPackages"') do call :compare "%%P"
for /f "tokens=1,2,*" %%A in ('reg query "%class%" /s /v InfPath 2^>nul') do (
    if /i "%%C" equ "%ours%" set "other="
)
if not defined other exit /b 0
echo Windows has numbered %name% itself: %ours% goes
for /f "delims=" %%K in ('reg query "%database%\DeviceIds" /s /v "%ours%" ^| find "HKEY_"') do (
    reg delete "%%K" /v "%ours%" /f >nul
)
reg delete "%database%\DriverInfFiles\%ours%" /f >nul
reg delete "%database%\DriverPackages\%package%" /f >nul
del "%ours%"
exit /b 0

:compare
rem sets "other" for a package of the same INF file that is not ours
if /i "%~1" equ "%package%" exit /b 0
for /f "tokens=1 delims=_" %%N in ("%~1") do if /i "%%N" equ "%name%" set "other=%~1"
exit /b 0
