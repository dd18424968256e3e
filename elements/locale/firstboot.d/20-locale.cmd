@echo off
rem Gives the settings to Windows, for SYSTEM, the logon screen and all new users; they count after a restart.
setlocal
cd /d "%DIB_FIRSTBOOT%files"
if errorlevel 1 exit /b 1
for /f "delims=" %%f in ('dir /b locale*.xml') do call :give "%DIB_FIRSTBOOT%files\%%f"
exit /b 3010

:give
echo %~1
rem control.exe would return before the work is done
start "" /wait "%SystemRoot%\System32\rundll32.exe" shell32.dll,Control_RunDLL intl.cpl,,/f:"%~1"
exit /b 0
